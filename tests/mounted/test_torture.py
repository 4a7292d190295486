"""The fault campaign in a minute; `make torture` runs all of it. TORTURE_SEED repeats a run."""

import os
import random

import pytest

from mount import SLOW
from torture import Campaign


@pytest.fixture
def torture(tmp_path, figures):
    """torture(part, timeout): runs part(campaign), prints its figures, and returns them."""
    seed = int(os.environ.get('TORTURE_SEED') or random.SystemRandom().getrandbits(32))

    def run(part, timeout=5):
        campaign = Campaign(tmp_path / 'torture', seed, timeout=timeout, say=lambda text: None)
        try:
            with campaign:
                part(campaign)
        finally:
            figures(f'seed {seed}\n{campaign.figures.text()}')
        assert not campaign.figures.failures, campaign.figures.text()
        assert campaign.figures.counts['operations'] > 0
        return campaign.figures

    return run


@pytest.mark.deadline(120)
def test_cuts(torture):
    assert torture(lambda c: c.line(['cut'], 8, 20)).faults


@pytest.mark.deadline(120)
def test_stalls_delays_and_single_bytes(torture):
    found = torture(lambda c: c.line(['stall', 'delay', 'split'], 8, 6), timeout=2).faults
    assert {'delay', 'split'} <= set(found) and {'stall', 'silence'} & set(found)


@pytest.mark.deadline(120)
def test_eight_programs_and_another_client(torture):
    figures = torture(lambda c: c.crowd('mutator', 10 if SLOW == 1 else 20))
    assert figures.counts['changes by another client'] > 50
    assert figures.counts['messages compared in the end'] > 50


@pytest.mark.deadline(120)
def test_eight_programs_and_a_line_that_breaks(torture):
    assert sum(torture(lambda c: c.crowd('storm', 6)).faults.values()) > 5


@pytest.mark.deadline(120)
def test_eight_programs_and_a_server_that_dies(torture):
    assert torture(lambda c: c.crowd('kill', 6)).faults['server killed'] > 0
