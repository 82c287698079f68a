# Two commands: `make report` measures the bundled allocator and writes REPORT.md; `make test` runs every check.

VENV  ?= .venv
PYTHON ?= python3
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.tools-installed

.PHONY: report test check test-native test-python traces kept-reports fuzz clean

report: $(STAMP)
	@$(BIN)/hakprof doctor >&2
	@run=$$($(BIN)/hakprof collect) && $(BIN)/hakprof report "$$run" -o report --document REPORT.md > /dev/null
	@echo "report: $(CURDIR)/REPORT.md (charts and JSON: $(CURDIR)/report/)"

test: check test-native test-python

check: $(TOOLS)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-native: $(TOOLS)
	$(MAKE) -C native test

test-python: $(TOOLS)
	$(BIN)/pytest -q -n 2

# What the repository keeps, measured again: a recorded case for the tests, and the report of the default study.
traces: $(TOOLS)
	scripts/record.sh trace hakmem smoke
	-$(BIN)/pytest -q tests/test_golden.py --update-golden

kept-reports: $(STAMP)
	scripts/record.sh report bottleneck

# Feeds the readers made-up and damaged files, each target for so many seconds; see fuzz/README.md.
SECONDS ?= 60
fuzz: $(STAMP)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	$(BIN)/python fuzz/run.py --seconds $(SECONDS)

$(STAMP): pyproject.toml constraints.txt scripts/setup.sh hatch_build.py $(wildcard hakprof/parse/perf_data/walker.[ch])
	PYTHON=$(PYTHON) scripts/setup.sh $(VENV)
	@touch $@

# What the checks need besides.
$(TOOLS): $(STAMP)
	PYTHON=$(PYTHON) scripts/setup.sh $(VENV) tests
	@touch $@

clean:
	rm -rf .hakprof report REPORT.md
	$(MAKE) -C native clean
