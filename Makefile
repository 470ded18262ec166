# make demo and make test set everything up themselves; they need Python 3.11 or newer and make, nothing else.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
PROFILE ?= auto
RELEASE = $(patsubst %/index.json,%,$(firstword $(wildcard results/release/*/index.json)))
# Bytecode is compiled at install time: torch alone takes seconds to compile at its first import.
INSTALL := $(RUN)/uv pip install --quiet --python $(RUN)/python --compile-bytecode

.PHONY: install demo test test-study test-lowest figures claims reproduce-figures bench bench-quick docs lint type format lock clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet uv==0.13.8
	$(INSTALL) --requirements requirements.lock
	$(INSTALL) --no-deps --editable .
	touch $@

demo: install
	$(RUN)/scaleinv-run -m name=demo space=weight,gspace,fixed seeds=5 epochs=20 \
		'optimizer.lr=[1.0,0.5,0.2,0.1,0.05,0.02,0.01,0.005,0.002,0.001]'
	$(RUN)/python -m scaleinv.report.figures loss_vs_lr results/demo --out results/demo/loss_vs_lr
	@echo "the picture: results/demo/loss_vs_lr.png"

PYTEST := -m pytest -n auto --maxprocesses 4
# A process that has nothing left takes tests from another; the slow ones of a file share what they train.
QUICK := --dist worksteal -m "not slow"
SLOW := --dist loadscope -m slow

test: install
	$(RUN)/python $(PYTEST) $(QUICK)

# Every experiment trained at the smoke profile, drawn, judged and published; every released figure drawn again; the
# tutorial, the notebooks and the trackers.
test-study: install
	$(RUN)/python $(PYTEST) $(SLOW)

# The same at the lowest versions that pyproject.toml allows, in an environment of its own.
test-lowest: install
	$(RUN)/uv venv --quiet --allow-existing --python $(RUN)/python $(VENV)-lowest
	$(RUN)/uv pip install --quiet --python $(VENV)-lowest/bin/python --resolution lowest-direct --group test --editable .
	$(VENV)-lowest/bin/python $(PYTEST) $(QUICK)
	$(VENV)-lowest/bin/python $(PYTEST) $(SLOW)

# Draw and judge what results/release holds, in seconds; the figures come out bit for bit as they are committed.
figures: install
	$(RUN)/python -m scaleinv.report.figures all $(RELEASE) --out results/release/figures

claims: install
	$(RUN)/python -m scaleinv.report.claims $(RELEASE) --out results/release/claims

# Train what is missing of a profile (smoke, cpu, paper; auto: paper with CUDA, else cpu), draw, judge, compare.
reproduce-figures: install
	$(RUN)/python -m scaleinv.study --profile $(PROFILE)

bench: install
	$(RUN)/python scripts/bench.py
	$(RUN)/python scripts/bench_convolutional.py

bench-quick: install
	$(RUN)/python scripts/bench.py --quick --out results/bench-quick
	$(RUN)/python scripts/bench_convolutional.py --quick --out results/bench-quick-convolutional

# The documentation site, in build/site; a warning ends it.
docs: install
	NO_MKDOCS_2_WARNING=1 $(RUN)/mkdocs build --strict

lint: install
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .

type: install
	$(RUN)/mypy

format: install
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

# The exact versions that make installs; run it after a change of dependencies.
lock: $(VENV)/.installed
	$(RUN)/uv pip compile pyproject.toml --group dev --universal --generate-hashes --quiet \
		--custom-compile-command "make lock" --output-file requirements.lock

clean:
	rm -rf $(VENV) $(VENV)-lowest build dist *.egg-info
