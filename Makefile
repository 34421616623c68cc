.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
LOCK = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header -q
# Services start often in tests and demonstrations, so keep their byte code even if the shell disables it.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo up test thorough browser e2e check alerts docs screenshots bench lock clean

help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/ready ## Show it: a file is proven and voted on; a node is killed and certified down
	@$(BIN)/dragon demo

up: $(VENV)/ready ## Keep a fleet up on this machine until Ctrl-C
	@$(BIN)/dragon up

# Compile the kernels once before the tests; otherwise every test process would compile them.
test: export NUMBA_CACHE_DIR ?= $(CURDIR)/.pytest_cache/d/kernels
test: $(VENV)/ready-dev ## Every test that needs no container
	@$(BIN)/python -c 'from dragon.stark.prover.warmup import warm_up; warm_up(lambda *_: None)'
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

thorough: export NUMBA_CACHE_DIR ?= $(CURDIR)/.pytest_cache/d/kernels
thorough: $(VENV)/ready-dev ## The property tests with three times as many examples (two minutes)
	@$(BIN)/python -m pytest --hypothesis-profile thorough -n 2 $$(grep -rl "^@given" tests --include=test_*.py)

browser: export NUMBA_CACHE_DIR ?= $(CURDIR)/.pytest_cache/d/kernels
browser: $(VENV)/ready-dev ## The explorer's pages in Chromium (Debian: apt-get install chromium)
	@$(BIN)/python -m pytest tests/browser -m browser -p no:xdist

e2e: $(VENV)/ready-dev ## The tests in containers; needs Docker, or tests/e2e/engine.sh (ten minutes)
	@docker info >/dev/null 2>&1 || { echo "no Docker engine answers; on a bare Debian machine, tests/e2e/engine.sh makes one"; exit 1; }
	@$(BIN)/python -m pytest tests/e2e -m docker --durations 12 -p no:xdist

check: $(VENV)/ready-dev ## Format, lint, types, import contracts, generated documentation
	@$(BIN)/ruff format --check . && $(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@PYTHONPATH=docs $(BIN)/python -m dragon_docs --check

alerts: ## Check and test the rules of deploy/ with promtool, which is part of Debian's package prometheus
	@command -v promtool >/dev/null || { echo "promtool is missing; on Debian: apt-get install prometheus"; exit 1; }
	@cd deploy && promtool check config prometheus.yml && promtool test rules alerts.test.yml

docs: $(VENV)/ready-dev ## Write the generated sections of the documentation
	@PYTHONPATH=docs $(BIN)/python -m dragon_docs

screenshots: export NUMBA_CACHE_DIR ?= $(CURDIR)/.pytest_cache/d/kernels
screenshots: $(VENV)/ready-dev ## Write the pictures of docs/images; needs Chromium
	@PYTHONPATH=tests $(BIN)/python tests/explorer_screenshots.py

bench: export NUMBA_CACHE_DIR ?= $(CURDIR)/.pytest_cache/d/kernels
bench: $(VENV)/ready-dev ## Measure (ten minutes); BASE=COMMIT compares, ONLY="NAME …" selects, RECORD=1 keeps
	@$(BIN)/python bench/run.py $(if $(BASE),--base '$(BASE)') $(if $(TURNS),--turns $(TURNS)) $(if $(RECORD),--record) $(ONLY)

lock: $(VENV)/ready-dev ## Pin what pyproject.toml asks for, with hashes
	@$(BIN)/python -m pip install -q uv
	$(LOCK) pyproject.toml --extra prover --extra alerts --extra archive --upgrade -o requirements.txt
	$(LOCK) pyproject.toml --extra alerts -c requirements.txt --upgrade -o requirements-api.txt
	$(LOCK) --group build --upgrade -o requirements-build.txt
	$(LOCK) --group dev -c requirements.txt --upgrade -o requirements-dev.txt
	$(BIN)/python -m dragon_explorer.lock_assets

clean: ## Forget the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/ready: requirements.txt pyproject.toml
	@echo "setting up $(VENV) with $(PYTHON) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@$(PYTHON) -m venv $(VENV) || { echo "the venv module is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/ready-dev: $(VENV)/ready requirements-dev.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt
	@touch $@
