# What people type; the work is done by the scripts in .ci/ and by `bootpoint` itself.
# `make run` and `make test` need nothing but git, make and Python 3.11 or newer on Debian 12 or 13.

.DEFAULT_GOAL := help
.PHONY: help setup run stop test test-nightly lint fix bench lock words clean
SITE ?= sample-site
BOOTPOINT := .venv/bin/bootpoint

help:
	@echo "make run           install what is missing, build the sample site, open the console on it"
	@echo "make stop          end the sample site's engine and its virtual machines"
	@echo "make test          install what is missing and run every check and every test"
	@echo "make test-nightly  the same and the tests that are too slow for every commit"
	@echo "make lint, fix     the checks without the tests; repair what can be repaired by itself"
	@echo "make bench         measure against zstd, qemu-img and virt-v2v on this machine"
	@echo "make lock          write lock/*.txt anew (UPGRADE=1: newest versions)"
	@echo "make words         collect the console's words and merge them into each language"
	@echo "make clean         stop, then remove .venv, the sample site and everything made here"

setup:
	@.ci/setup

run: setup
	@$(BOOTPOINT) sample run --site $(SITE)
	@echo "The engine and its virtual machines go on without the console."
	@echo "make run: open it again    make stop: end them    log: $(SITE)/state/engine.log"

stop:
	@if [ -x $(BOOTPOINT) ] && [ -d $(SITE) ]; then $(BOOTPOINT) sample stop --site $(SITE); \
	else echo "stop: there is no sample site here"; fi

test:
	@.ci/setup --test
	@.ci/gate

test-nightly:
	@.ci/setup --nightly
	@.ci/gate --nightly

lint: setup
	@.ci/gate --lint

fix: setup
	@.venv/bin/ruff check --fix --quiet . || true
	@.venv/bin/ruff format .

bench:
	@.ci/setup --bench
	@.venv/bin/python -m tests.bench $(BENCH)

lock:
	@.ci/lock $(if $(UPGRADE),--upgrade)

words:
	@.ci/words

clean: stop
	rm -rf .venv $(SITE) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find engine tui tests -name __pycache__ -prune -exec rm -rf {} +
