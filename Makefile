# SPDX-License-Identifier: MIT
# The front door: every target configures, builds and runs through the presets of CMakePresets.json.
#
#     make                   the libraries and the tool, in build/
#     make demo              real programs' page traffic through pageheap and its peers; formulas as machine code
#     make check             all tests but the long ones, and the gates
#     make help              the rest
#
# PAGEHEAP_NO_INSTALL=1 keeps these from installing what a fresh Debian lacks.
JOBS   ?= $(shell nproc)
PREFIX ?= /usr/local

# Left out where it does not know the processor.
CALCULATOR := build/examples/calculator/calculator

.DEFAULT_GOAL := all
.PHONY: all demo check long bench gates install format deps clean help

all: deps
	@cmake --preset release >/dev/null || cmake --preset release
	@cmake --build --preset release -j $(JOBS)

demo: all
	@build/pageheap demo
	@if [ -x $(CALCULATOR) ]; then echo; $(CALCULATOR); fi

check: all
	@ctest --preset release -j $(JOBS)

long: all
	@ctest --preset long

bench: all
	@build/pageheap bench

gates: all
	@ctest --preset gates -j $(JOBS)

install: all
	@cmake --install build --prefix $(PREFIX)

format:
	@tools/check_format.sh --fix

deps:
	@tools/install_deps.sh

# Each of these builds in a folder of its own, build-asan and so on, and runs what can run there.
INSTRUMENTED := asan ubsan tsan msan valgrind
.PHONY: $(INSTRUMENTED) coverage
$(INSTRUMENTED): deps
	@cmake --preset $@ >/dev/null || cmake --preset $@
	@cmake --build --preset $@ -j $(JOBS)
	@ctest --preset $@ -j $(JOBS)

coverage: deps
	@cmake --preset $@ >/dev/null || cmake --preset $@
	@cmake --build --preset $@ -j $(JOBS)
	@find build-coverage -name '*.gcda' -delete
	@ctest --preset $@ -j $(JOBS)
	@tools/coverage.py build-coverage

clean:
	@rm -rf build build-*/

help:
	@echo 'all demo check long bench gates install format deps clean help'
	@echo '$(INSTRUMENTED) coverage'
	@echo 'JOBS=N, PREFIX=DIR, DESTDIR=DIR, PAGEHEAP_NO_INSTALL=1'
