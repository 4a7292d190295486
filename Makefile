# imapfs. `make demo` and `make check` are the two commands to know; `make help` lists the rest.

VERSION := 0.1.0
PREFIX  ?= /usr/local
PYTHON  ?= /usr/bin/python3
SAN     ?=
WERROR  ?=

# A sanitized build is a tree of its own: make SAN=asan (address + undefined) or SAN=tsan (threads).
ifeq ($(SAN),)
B       := build
SANFLAGS :=
OPT     := -O2 -g
else ifeq ($(SAN),asan)
B       := build/asan
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
OPT     := -O1 -g
else ifeq ($(SAN),tsan)
B       := build/tsan
SANFLAGS := -fsanitize=thread -fno-omit-frame-pointer
OPT     := -O1 -g
else
$(error SAN is asan or tsan, not '$(SAN)')
endif

PKGS     := fuse3 openssl gmime-3.0 libgsasl zlib
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS   = $(shell pkg-config --libs $(PKGS))
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla
CFLAGS   ?= $(OPT)
HARDEN   := $(if $(SAN),,-D_FORTIFY_SOURCE=2 -fstack-protector-strong)
ALL_CFLAGS = -std=c17 -D_GNU_SOURCE -DFUSE_USE_VERSION=312 -DIMAPFS_VERSION='"$(VERSION)"' -I. \
             -pthread $(WARN) $(if $(WERROR),-Werror) $(CFLAGS) $(HARDEN) $(SANFLAGS) $(PKG_CFLAGS) $(CPPFLAGS)
# pthread_cancel(), which libfuse ends its threads with, loads libgcc_s when it is first called, and
# ends the process if that fails, which it does when descriptors have run out. So it is there before.
GCC_S    := -Wl,--push-state,--no-as-needed -lgcc_s -Wl,--pop-state
ALL_LIBS   = -pthread $(SANFLAGS) $(LDFLAGS) $(PKG_LIBS) $(GCC_S)

SRC      := $(sort $(wildcard imap/*/*.c cache/*.c fs/*.c))
OBJ      := $(SRC:%.c=$(B)/obj/%.o)
LIBOBJ   := $(filter-out $(B)/obj/fs/main.o,$(OBJ))

comma    := ,
UNIT     := $(patsubst tests/unit/%.c,$(B)/unit/%,$(sort $(wildcard tests/unit/test_*.c)))
FUZZ     := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
REPLAY   := $(FUZZ:%=$(B)/replay/%)

all: $(B)/imapfs

$(B)/imapfs: $(OBJ)
	$(CC) -o $@ $(OBJ) $(ALL_LIBS)

$(B)/libimapfs.a: $(LIBOBJ)
	rm -f $@ && $(AR) rcs $@ $(LIBOBJ)

$(B)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/unit/%: tests/unit/%.c $(B)/libimapfs.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP $(UNIT_LINK) -o $@ $< $(B)/libimapfs.a $(ALL_LIBS) -lcmocka

# test_reconnect has a clock of its own.
$(B)/unit/test_reconnect: private UNIT_LINK = -Wl,--wrap=clock_gettime

# test_no_memory has an allocator that finds none.
$(B)/unit/test_no_memory: private UNIT_LINK = -Wl,--wrap=mem_try

# fuzz_session brings a stream of its own, and these calls go there.
SESSION_WRAP := $(patsubst %,-Wl$(comma)--wrap=%,poll clock_gettime getrandom pthread_create \
                pthread_timedjoin_np pthread_sigmask syslog __syslog_chk)
%/fuzz_session: private FUZZ_LINK = $(SESSION_WRAP)

# Replay: the fuzz target linked with a small driver that runs files instead of inventing them.
$(B)/replay/%: tests/fuzz/%.c tests/fuzz/replay.c $(B)/libimapfs.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -o $@ $< tests/fuzz/replay.c $(FUZZ_LINK) $(B)/libimapfs.a \
	    $(ALL_LIBS)

-include $(OBJ:.o=.d) $(UNIT:=.d) $(REPLAY:=.d)

help:
	@echo 'make            build build/imapfs          make demo        try it, on a mail server of its own'
	@echo 'make deps       install what is missing     make demo-stop   take the demo down'
	@echo 'make check      build and run every test    make lint        format, clang-tidy, layering'
	@echo 'make fuzz       fuzz for FUZZ_SECONDS each  make install     PREFIX=/usr/local DESTDIR='
	@echo 'make check-servers  a battery on Cyrus, Courier, mailutils, Twisted and others, as root'
	@echo 'make torture    break line, server and mailbox at every byte, for an hour'
	@echo 'make bench      measure, beside yardsticks  make bench-quick a tenth of it, in two minutes'

deps:
	scripts/deps

# ---- tests -------------------------------------------------------------------------------------

check: deps
	$(MAKE) check-built

check-built: all
	scripts/check

# The same battery on other servers: SERVERS='cyrus-dot courier', all without.
check-servers: deps all
	scripts/check-servers

deps-servers:
	$(PYTHON) tests/servers/packages.py $(SERVERS)

unit: $(UNIT)
	@for t in $(UNIT); do echo "== $$t"; $$t || exit 1; done

replay: $(REPLAY)
	@for t in $(FUZZ); do \
	    ls tests/fuzz/corpus/$$t/* >/dev/null || { echo "no corpus for $$t"; exit 1; }; \
	    $(B)/replay/$$t tests/fuzz/corpus/$$t/* || exit 1; \
	done

FUZZ_SECONDS ?= 60
FUZZ_OBJ := $(LIBOBJ:$(B)/obj/%=build/fuzz/obj/%)
FUZZ_CFLAGS = -fsanitize=fuzzer-no-link,address,undefined -fno-omit-frame-pointer
build/fuzz/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	clang -std=c17 -D_GNU_SOURCE -DFUSE_USE_VERSION=312 -DIMAPFS_VERSION='"fuzz"' -I. -pthread -O1 -g \
	    $(FUZZ_CFLAGS) $(PKG_CFLAGS) -c -o $@ $<
build/fuzz/libimapfs.a: $(FUZZ_OBJ)
	rm -f $@ && $(AR) rcs $@ $(FUZZ_OBJ)
build/fuzz/%: tests/fuzz/%.c build/fuzz/libimapfs.a
	clang -std=c17 -D_GNU_SOURCE -I. -pthread -O1 -g -fsanitize=fuzzer,address,undefined $(PKG_CFLAGS) \
	    -o $@ $< $(FUZZ_LINK) build/fuzz/libimapfs.a $(PKG_LIBS)
fuzz: $(FUZZ:%=build/fuzz/%)
	@for t in $(FUZZ); do mkdir -p build/fuzz/new/$$t && \
	    build/fuzz/$$t -max_total_time=$(FUZZ_SECONDS) -timeout=10 -print_final_stats=1 \
	        build/fuzz/new/$$t tests/fuzz/corpus/$$t || exit 1; done

# The fault campaign in full; a minute of it is among the tests. TORTURE='--seed 1 --only cut' and such.
torture: deps all
	PYTHONDONTWRITEBYTECODE=1 IMAPFS=$(B)/imapfs IMAPFS_SLOW=$(if $(SAN),3,1) \
	    $(if $(SAN),setarch $$(uname -m) -R) $(PYTHON) tests/torture.py $(or $(TORTURE),--full --seconds 600)

lint:
	scripts/lint

# Measured is what a user would install: the plain build, whatever SAN says.
bench bench-quick: deps
	$(MAKE) SAN= all
	PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/bench.py $(if $(filter bench-quick,$@),--quick) $(BENCH)

# ---- the demo and installation -------------------------------------------------------------------

demo: deps
	$(MAKE) all
	scripts/demo start

demo-stop:
	scripts/demo stop

install: all
	install -D -m 755 $(B)/imapfs $(DESTDIR)$(PREFIX)/bin/imapfs
	install -D -m 644 fs/imapfs.1 $(DESTDIR)$(PREFIX)/share/man/man1/imapfs.1

clean:
	rm -rf build

.PHONY: all help deps deps-servers check check-servers check-built unit replay fuzz torture lint bench bench-quick demo demo-stop install clean
.SECONDARY:
