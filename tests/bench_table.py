"""Figures of the benchmark: samples, how they are said, and the table that they go into."""

from __future__ import annotations

import math
import statistics
from typing import Callable, NamedTuple, Optional, Sequence

from yardsticks import TooSlow


class Row(NamedTuple):
    work: str
    target: str
    ours: str
    yardsticks: str
    ratio: str
    met: Optional[bool]


class Sample:
    """The times of one thing."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.over: Optional[float] = None  # the limit that it ran into

    def take(self, measure: Callable[[], float], limit: float) -> float:
        """Measures once; what ran into the limit before is not tried again."""
        if self.over is None:
            try:
                seconds = measure()
                self.seconds.append(seconds)
                return seconds
            except TooSlow:
                self.over = limit
        return math.inf

    @property
    def median(self) -> float:
        return math.inf if self.over or not self.seconds else statistics.median(self.seconds)

    def plus(self, other: Sample) -> Sample:
        """Both, one after the other."""
        both = Sample()
        both.over = self.over or other.over
        both.seconds = [a + b for a, b in zip(self.seconds, other.seconds)]
        return both

    def __str__(self) -> str:
        if self.over:
            return f'> {self.over:.0f} s'
        if not self.seconds:
            return '—'
        return f'{span(self.median)} ({span(min(self.seconds))}–{span(max(self.seconds))})'


class Growth:
    """The same thing at several sizes, each larger than the one before."""

    def __init__(self) -> None:
        self._samples: dict[int, Sample] = {}

    def of(self, size: int) -> Sample:
        return self._samples.setdefault(size, Sample())

    @property
    def factor(self) -> float:
        """How much longer one message takes than at the size before, where that is worst."""
        each = [sample.median / size for size, sample in self._samples.items()]
        return max((last / before if before < math.inf else math.inf
                    for before, last in zip(each, each[1:])), default=math.inf)

    def __str__(self) -> str:
        return '; '.join(
            f'{number(size)}: {sample}' if sample.over else
            f'{number(size)}: {span(sample.median)}, {sample.median / size * 1e6:.1f} µs each'
            for size, sample in self._samples.items())


def span(seconds: float) -> str:
    if seconds >= 10:
        return f'{seconds:.1f} s'
    return f'{seconds:.2f} s' if seconds >= 1 else f'{seconds * 1000:.0f} ms'


def ratio(ours: float, yard: float) -> str:
    return f'{ours / yard:.2f}' if math.isfinite(ours) and math.isfinite(yard) else '—'


def ratios(ours: Sample, *yards: Sample | float) -> str:
    medians = (yard.median if isinstance(yard, Sample) else yard for yard in yards)
    return '; '.join(ratio(ours.median, median) for median in medians)


def within(ours: float, bound: float) -> Optional[bool]:
    """Whether the target is met; None when both ran into the limit."""
    return ours <= bound if math.isfinite(ours) or math.isfinite(bound) else None


def number(count: int) -> str:
    return f'{count:,}'


def table(rows: Sequence[Row]) -> str:
    lines = ['| work | target | ours | yardsticks | ratio | met? |', '|---|---|---|---|---|---|']
    for row in rows:
        met = {True: 'yes', False: '**no**', None: '—'}[row.met]
        lines.append('| ' + ' | '.join([*row[:5], met]) + ' |')
    return '\n'.join(lines)
