# Each Airflow line has an environment of its own under .venv/, pinned by constraints/.
# An environment is made when it is first needed, and again when pyproject.toml or its pins change.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

LINES := 2.11 3.0 3.1 3.2 3.3
# Arguments for pytest: make test ARGS="-k hook -x"
ARGS ?=
# The quick tests run in more processes than two cores have: half of their time is waiting. In one
# alone: make test PARALLEL=
PARALLEL ?= --numprocesses=4 --dist=worksteal

# The first Python on the PATH from 3.11 up to the minor version that is asked for. (A name on the
# PATH may be a shim with nothing behind it, so each is run.)
find-python = $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell \
	$(name) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, $(1)))' \
	2>/dev/null && echo $(name))))
PYTHON ?= $(call find-python,13)
# Airflow 2.11 and 3.0 stop at Python 3.12.
OLDER_PYTHON ?= $(call find-python,12)
python-for = $(if $(filter 2.11 3.0,$(1)),$(OLDER_PYTHON),$(PYTHON))

# Where the environments of the lines are; the matrix has such a folder for each Python.
ENVIRONMENTS := .venv

UV := .venv/uv/bin/uv
PY := .venv/airflow-3.3/bin/python

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9.%-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/airflow-3.3/.ready ## Make the environment to work in: .venv/airflow-3.3

$(UV): constraints/uv.txt
	@python="$(PYTHON)"; \
	[ -n "$$python" ] || { echo "No Python 3.11, 3.12 or 3.13 found. Install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; }; \
	"$$python" -m venv .venv/uv || { echo "$$python cannot make a virtual environment (on Debian: install python3-venv)." >&2; exit 1; }
	@.venv/uv/bin/pip install --quiet --quiet --disable-pip-version-check --requirement constraints/uv.txt
	@touch $@

$(ENVIRONMENTS)/airflow-%/.ready: pyproject.toml constraints/airflow-%.txt $(UV)
	@python="$(call python-for,$*)"; \
	[ -n "$$python" ] || { echo "No Python for Airflow $* found (2.11 and 3.0 need 3.11 or 3.12, later ones take 3.13 too)." >&2; exit 1; }; \
	echo "Making $(ENVIRONMENTS)/airflow-$* (about a minute when nothing is cached) ..."; \
	$(UV) venv --quiet --clear --no-python-downloads --python "$$python" $(ENVIRONMENTS)/airflow-$*
	@$(UV) pip install --quiet --compile-bytecode --python $(ENVIRONMENTS)/airflow-$*/bin/python \
		--constraints constraints/airflow-$*.txt --build-constraints constraints/airflow-$*.txt \
		--editable '.[sandbox]' --group dev
	@touch $@

.PHONY: demo
demo: .venv/airflow-3.3/.ready ## Run a whole release against the sandbox, in real Airflow
	@$(PY) -m scripts.demo

.PHONY: demo-enterprise
demo-enterprise: .venv/airflow-3.3/.ready ## The same for DaoCloud Enterprise: run a pipeline, deploy its image
	@$(PY) -m scripts.demo --enterprise

.PHONY: demo-ui
demo-ui: .venv/airflow-3.3/.ready ## The same DAGs in Airflow's web UI, until Ctrl-C
	@$(PY) -m scripts.demo --ui

.PHONY: test
test: test-3.3 ## The quick tests, on Airflow 3.3

# For example test-2.11; every line of constraints/ has one.
.PHONY: $(LINES:%=test-%)
$(LINES:%=test-%): test-%: $(ENVIRONMENTS)/airflow-%/.ready
	$(ENVIRONMENTS)/airflow-$*/bin/python -m pytest $(PARALLEL) -m "not system" $(ARGS)

# Some of it: make matrix LINES="3.1 3.2" PYTHONS=3.13
.PHONY: matrix
matrix: $(UV) ## The quick tests on every Airflow and Python; a table of them in the docs (hours)
	@"$(PYTHON)" -m scripts.matrix --lines $(LINES) $(if $(PYTHONS),--pythons $(PYTHONS))

.PHONY: test-system
test-system: .venv/airflow-3.3/.ready ## The tests that run a scheduler, a triggerer and an API server
	$(PY) -m pytest -m system $(ARGS)

# What the quick tests leave out of the machinery: whole branches, and nothing at all of the plan.
.PHONY: coverage
coverage: .venv/airflow-3.3/.ready ## Branch coverage of core/: above 95 %, and 100 % of the plan
	$(PY) -m pytest $(PARALLEL) -m "not system" --cov --cov-report= tests/unit tests/behaviour $(ARGS)
	$(PY) -m coverage report --fail-under=95
	$(PY) -m coverage report --fail-under=100 --include='*/core/submission/plan.py'

.PHONY: check
check: .venv/airflow-3.3/.ready ## Lint, formatting, types, import rules, spelling
	.venv/airflow-3.3/bin/ruff check .
	.venv/airflow-3.3/bin/ruff format --check .
	.venv/airflow-3.3/bin/mypy
	.venv/airflow-3.3/bin/lint-imports --no-cache
	.venv/airflow-3.3/bin/codespell

.PHONY: format
format: .venv/airflow-3.3/.ready ## Fix what can be fixed automatically
	.venv/airflow-3.3/bin/ruff check --fix .
	.venv/airflow-3.3/bin/ruff format .

.PHONY: wheel
wheel: .venv/airflow-3.3/.ready ## Build dist/*.whl and the source archive
	@rm -rf dist
	$(UV) build --quiet --python $(PY) --build-constraints constraints/airflow-3.3.txt --out-dir dist

.PHONY: test-wheel
test-wheel: wheel ## Use the wheel in a clean environment, and test it with the source archive's tests
	$(PY) tests/project/packaging/check_wheel.py --uv $(UV) dist/*.whl dist/*.tar.gz

.PHONY: constraints
constraints: $(UV) ## Bring the pins up to date with what is released
	@for line in $(LINES); do \
		$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 \
			--no-annotate --no-header --extra sandbox --group dev \
			--output-file constraints/airflow-$$line.txt pyproject.toml constraints/airflow-$$line.in; \
	done

.PHONY: clean
clean: ## Remove environments, caches and what the demo left
	rm -rf .venv .demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The peers that the benchmarks compare with have an environment of their own.
BENCH := .venv/benchmarks

$(BENCH)/.ready: pyproject.toml constraints/benchmarks.in constraints/benchmarks.txt $(UV)
	@echo "Making $(BENCH) (a minute or two when nothing is cached) ..."
	@$(UV) venv --quiet --clear --no-python-downloads --python "$(PYTHON)" $(BENCH)
	@$(UV) pip install --quiet --python $(BENCH)/bin/python \
		--constraints constraints/benchmarks.txt --build-constraints constraints/airflow-3.3.txt \
		--editable . --requirements constraints/benchmarks.in
	@touch $@

.PHONY: bench
bench: $(BENCH)/.ready ## What waiting costs, beside other providers (about 20 minutes)
	$(BENCH)/bin/python -m benchmarks.waiting $(ARGS)

.PHONY: bench-lists
bench-lists: $(BENCH)/.ready ## What long lists cost
	$(BENCH)/bin/python -m benchmarks.lists $(ARGS)

.PHONY: bench-imports
bench-imports: $(BENCH)/.ready ## What the import costs, beside other providers
	$(BENCH)/bin/python -m benchmarks.imports $(ARGS)

.PHONY: bench-constraints
bench-constraints: $(UV) ## Bring the pins of the peers up to date with what is released
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --no-annotate --no-header \
		--output-file constraints/benchmarks.txt pyproject.toml constraints/benchmarks.in

.PHONY: simulate
simulate: .venv/airflow-3.3/.ready ## An hour of waiting under the limit of calls, simulated: docs/simulated-hour.md
	$(PY) -m benchmarks.simulated_hour --docs

# What else needs an environment, each with its own pins beside those of Airflow 3.3.
EXTRAS := browser deployed docs

$(EXTRAS:%=.venv/%/.ready): .venv/%/.ready: pyproject.toml constraints/airflow-3.3.txt constraints/%.in constraints/%.txt $(UV)
	@echo "Making .venv/$* (about a minute when nothing is cached) ..."
	@$(UV) venv --quiet --clear --no-python-downloads --python "$(PYTHON)" .venv/$*
	@$(UV) pip install --quiet --python .venv/$*/bin/python \
		--constraints constraints/airflow-3.3.txt --constraints constraints/$*.txt \
		--build-constraints constraints/airflow-3.3.txt \
		--editable '.[sandbox]' --group dev --requirements constraints/$*.in
	@touch $@

.PHONY: $(EXTRAS:%=%-constraints)
$(EXTRAS:%=%-constraints): %-constraints: $(UV)
	$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --no-annotate --no-header \
		--constraints constraints/airflow-3.3.txt constraints/$*.in \
		| grep --invert-match --line-regexp --fixed-strings --file constraints/airflow-3.3.txt \
		> constraints/$*.txt

# The browser is the system's own Chromium: apt-get install chromium. Elsewhere: make ... CHROMIUM=...
.PHONY: screenshots
screenshots: .venv/browser/.ready ## Take the pictures in docs/images, of Airflow's UI in Chromium
	.venv/browser/bin/python -m scripts.screenshots

.PHONY: test-ui
test-ui: .venv/browser/.ready ## The test that uses Airflow's UI in Chromium
	.venv/browser/bin/python -m pytest tests/system/test_ui.py $(ARGS)

.PHONY: docs
docs: .venv/docs/.ready ## The documentation, in build/docs
	.venv/docs/bin/sphinx-build -nW --keep-going -q docs build/docs
	@echo "build/docs/index.html"

.PHONY: docs-serve
docs-serve: docs ## The same in a browser, until Ctrl-C
	.venv/docs/bin/python -m http.server --bind 127.0.0.1 --directory build/docs 8000

# PostgreSQL and Redis are the system's own: apt-get install postgresql redis-server.
.PHONY: test-deployed
test-deployed: .venv/deployed/.ready ## A fleet on PostgreSQL, Redis, Celery: a worker and a triggerer die
	@.venv/deployed/bin/python -m scripts.deployed
	.venv/deployed/bin/python -m pytest tests/system/test_deployed.py -s $(ARGS)

.PHONY: soak
soak: .venv/airflow-3.3/.ready ## A thousand random schedules of faults and crashes of each kind, and their table (20 minutes)
	SCHEDULES=$${SCHEDULES:-1000} WRITE_DOCS=1 $(PY) -m pytest tests/behaviour/submission/test_schedules.py \
		tests/behaviour/enterprise/test_schedules.py \
		--numprocesses=auto --timeout=3600 $(ARGS)

.PHONY: bench-crashes
bench-crashes: $(BENCH)/.ready ## Crashes and faults, beside Databricks' durable run-now: docs/no-duplicate-actions.md
	$(BENCH)/bin/python -m benchmarks.crashes --docs
