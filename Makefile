# Each target does its own set-up: Debian packages by apt when root, Python packages in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-long lint bench sim docs terraform setup clean

setup: .venv/.ready

.venv/.ready: pyproject.toml tools/setup
	PYTHON=$(PYTHON) tools/setup
	@touch $@

demo: setup
	@$(BIN)/python -m evernat.lab.demo

# Three at once on two cores: half of the time the tests wait.
test: setup lint
	@$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder
	@command -v terraform >/dev/null || echo "make: there is no terraform program: the tests of the Terraform module were SKIPPED" >&2

# More cases of what `test` has one of each kind of: every time an agent can be silent, a cloud as slow as AWS.
test-long: setup
	@$(BIN)/pytest -m long -n 2 --dist loadfile

lint: setup
	@$(BIN)/ruff check src tests bench tools
	@$(BIN)/ruff format --check src tests bench tools
	@$(BIN)/mypy

bench: setup
	@$(BIN)/python -m bench

docs: setup
	@$(BIN)/python -m tools.docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "docs: open  site/index.html , or serve it:  $(BIN)/python -m mkdocs serve"

N ?= 100000
sim: setup
	@$(BIN)/python -m tests.sim $(N)

# What of terraform/ is made from the rest: the agent's files, the tables of the README.
terraform: setup
	@$(BIN)/python -m evernat.bundle.module terraform/agent
	@$(BIN)/python -m tests.terraform.readme

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
