# Two commands do everything on a fresh machine with git, make and python3-venv:
#   make count                  device install, then count the sample fields that come with the package
#   make count IMAGES=folder    the same for your own images
#   make test                   development install, then lint, types, contracts and tests
PYTHON ?= python3
IMAGES ?= edge/samples
OUT    ?= out

DEVICE := .venv
DEV    := .venv-dev
# PEP 517 for sdnotify, which comes as source: without it old pip warns about its own future.
PIP_FLAGS := --disable-pip-version-check --quiet --use-pep517
# install(ENVIRONMENT, LOCKED VERSIONS): with their hashes, what builds first; then this tree, editable.
define install
@test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
@$(1)/bin/python -m pip install $(PIP_FLAGS) --require-hashes -r systemd/locked/build.txt
@$(1)/bin/python -m pip install $(PIP_FLAGS) --require-hashes --no-build-isolation -r $(2)
@$(1)/bin/python -m pip install $(PIP_FLAGS) --no-deps --no-build-isolation -e .
@touch $(1)/.installed
endef

.PHONY: archive-cost test-fleet test-pythons lock sbom wheelhouse release-usb published silent site compare compare-speed coverage mutants golden count test docs lint test-quick test-system test-log-crash install install-dev clean help

help:
	@sed -n '2,5s/^# *//p' Makefile; echo "  make test-system            slow tests: a real systemd, libcamera's virtual camera"; echo "  make test-log-crash         the log killed 1200 times, cut off from power 2000 times, on full and failing disks"; echo "  make clean                  remove both installs and $(OUT)/"

count: $(DEVICE)/.installed
	@mkdir -p "$(OUT)"
	@$(DEVICE)/bin/blastcount count --annotate "$(OUT)/annotated" --log "$(OUT)/blastcount.sqlite" "$(IMAGES)"
	@echo "annotated pictures: $(OUT)/annotated    log: $(OUT)/blastcount.sqlite"
	@echo "the program: $(DEVICE)/bin/blastcount (--help lists its commands)"

# Pages rendered from JSON; a test says when they are stale.
docs: $(DEV)/.installed
	$(DEV)/bin/python -m training.report.docs

# The pages as a site in $(OUT)/site, to be read from a disk; a test builds it, too.
site: $(DEV)/.installed
	$(DEV)/bin/python -m sphinx -q -n -W --keep-going -b html docs "$(OUT)/site"
	@echo "the pages: $(OUT)/site/index.html"

# After a change of segmentation, crop or network that is meant.
golden: $(DEV)/.installed
	$(DEV)/bin/python -m edge.counting.golden edge/classification/models/*.tflite tests/edge/data/*.tflite

test: lint test-quick

lint: $(DEV)/.installed
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports

# A process a core; more than four would wait for the tests of TensorFlow, which stay in one, as a file's do: see
# tests/conftest.py. In the order that they are collected in: the long ones come first.
PARALLEL := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-quick: $(DEV)/.installed
	$(DEV)/bin/python -m pytest $(PARALLEL) -m "not slow" --durations=10

# Before a release: on the Python of Debian 12 and of 13, each with its own development install.
test-pythons:
	$(MAKE) test-quick PYTHON=python3.11 DEV=.venv-dev-3.11
	$(MAKE) test-quick PYTHON=python3.13 DEV=.venv-dev-3.13

# Lines and branches that no quick test reaches; a third slower than the tests alone.
coverage: $(DEV)/.installed
	$(DEV)/bin/python -m pytest $(PARALLEL) -m "not slow" --cov --cov-report=term

test-system: $(DEV)/.installed
	$(DEV)/bin/python -m pytest -m slow --timeout=3600 -rs

# Root for the disks that are mounted; strace, e2fsprogs and faketime from Debian. Part of test-system, too.
test-log-crash: $(DEV)/.installed
	$(DEV)/bin/python -m pytest -m slow --timeout=3600 -rs -s tests/system/test_log_kill.py tests/system/test_log_power_cut.py tests/system/test_log_disk.py

# A real Mosquitto and a real PostgreSQL, killed and cut off; both from Debian: mosquitto, postgresql. Part of test-system,
# too. KILLS=1000 kills for as long as that takes; MEASURE=1 ROWS=20000 holds the rates of docs/fleet.md on a quiet machine.
test-fleet: $(DEV)/.installed
	$(DEV)/bin/python -m pytest tests/edge/fleet -q
	$(DEV)/bin/python -m pytest -m slow --timeout=7200 -rs -s tests/system/test_fleet.py tests/system/test_fleet_network.py tests/system/test_fleet_browser.py tests/system/test_fleet_unit.py

# Every real image counted by this state and by the commit BASE: a move of code must change no line.
compare: $(DEV)/.installed
	$(DEV)/bin/python -m tests.tools.compare_counts $(BASE)

# Wrong numbers in silence, by this state and by the commit BASE: writes docs/silent.json, then `make docs`.
silent: $(DEV)/.installed
	$(DEV)/bin/python -m tests.tools.silent_numbers $(BASE)

# The published systems on ALL-IDB in the folder DATA, an hour and a half; a stopped run goes on. Then `make docs`.
published: $(DEV)/.installed
	$(DEV)/bin/python -m pip install $(PIP_FLAGS) --no-build-isolation -e '.[imagenet]'
	$(DEV)/bin/python -m training.published --data "$(DATA)"

# Wrong values of the constants that decide whether a cell counts: a test must notice each.
mutants: $(DEV)/.installed
	$(DEV)/bin/python -m tests.tools.mutants

# An archive against plain counting, an hour; writes docs/archive.json, then `make docs`.
archive-cost: $(DEV)/.installed
	$(DEV)/bin/python -m tests.tools.archive_cost --json docs/archive.json

# The whole field on one thread, by this state and by the commit BASE in turn.
compare-speed: $(DEV)/.installed
	$(DEV)/bin/python -m tests.tools.compare_speed $(BASE)

install: $(DEVICE)/.installed
install-dev: $(DEV)/.installed

$(DEVICE)/.installed: pyproject.toml systemd/locked/build.txt systemd/locked/device.txt
	@echo "setting up the device install in $(DEVICE) (no TensorFlow; a minute or two, once)" >&2
	$(call install,$(DEVICE),systemd/locked/device.txt)

$(DEV)/.installed: pyproject.toml systemd/locked/build.txt .ci/locked.txt
	@echo "setting up the development install in $(DEV) (with TensorFlow; several minutes, once)" >&2
	$(call install,$(DEV),.ci/locked.txt)

# After a change of what pyproject.toml needs: the versions that all of these install, with hashes. UPGRADE=--upgrade for newer ones.
lock: $(DEV)/.installed
	$(DEV)/bin/python -m tests.tools.lock $(UPGRADE)

# What is in the program, for people and machines: after `make lock`, or with another network.
sbom: $(DEV)/.installed
	$(DEV)/bin/python -m tests.tools.sbom

# Wheels for a device without a network, here or elsewhere: make wheelhouse FOR="aarch64 3.13"
wheelhouse:
	@systemd/wheelhouse.sh wheels $(FOR)

# A signed package for `blastcount update`: make release-usb KEY=~/.ssh/id_ed25519 FOR="aarch64-cp311 aarch64-cp313" [SINCE=1.0.0]
release-usb: $(DEV)/.installed
	$(DEV)/bin/python -m tests.tools.release_usb --key "$(KEY)" $(if $(SINCE),--since "$(SINCE)") $(FOR)

clean:
	rm -rf $(DEVICE) $(DEV) $(OUT)
