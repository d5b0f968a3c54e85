# Each target does its own set-up: Debian packages by apt when root, Python packages in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench sim terraform setup clean

setup: .venv/.ready

.venv/.ready: pyproject.toml tools/setup
	PYTHON=$(PYTHON) tools/setup
	@touch $@

demo: setup
	@$(BIN)/python -m evernat.lab.demo

test: setup lint
	@$(BIN)/pytest -n 2 --dist loadfile
	@command -v terraform >/dev/null || echo "make: there is no terraform program: the tests of the Terraform module were SKIPPED" >&2

lint: setup
	@$(BIN)/ruff check src tests bench
	@$(BIN)/ruff format --check src tests bench
	@$(BIN)/mypy

bench: setup
	@$(BIN)/python -m bench

N ?= 100000
sim: setup
	@$(BIN)/python -m tests.sim $(N)

# What of terraform/ is made from the rest: the agent's files, the tables of the README.
terraform: setup
	@$(BIN)/python -m evernat.bundle.module terraform/agent
	@$(BIN)/python -m tests.terraform.readme

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
