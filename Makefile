# What a person types. The work is in scripts/ and in the package; this file only names it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup dev run test test-vm lint fmt bench lab clean

BIN := .venv/bin
PYTHON_DIRS := src tests benchmarks hatch_build.py
BPF_SOURCES = $(wildcard src/linnix/cognitod/bpf/*.[ch])
ARGS ?=

help: ## Show this list
	@echo "Linnix: what make can do here"; echo
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  make %-7s  %s\n' "$$name" "$$text"; done
	@echo; echo "Options for the command behind run, test, bench or lab go into ARGS:  make run ARGS=--short"

setup: ## Install what is missing into the system and .venv, saying what and why; a second time it only checks
	@scripts/setup.sh run

dev: setup
	@scripts/setup.sh test

run: setup ## Start Linnix, explain this machine once, stop what was started
	@$(BIN)/linnix run $(ARGS)

test: setup ## Run every test this machine can run (ARGS='-k name' for some)
	@scripts/setup.sh test
	@scripts/test.sh $(ARGS)

test-vm: setup ## Run the kernel plane's tests in virtual machines with Linux 5.10, 6.1 and 6.12 (some 15 minutes)
	@scripts/setup.sh test
	@LINNIX_VM_KERNELS='bullseye bookworm trixie' scripts/test.sh --only vm $(ARGS)

lint: dev ## Check style, types, import rules and the BPF sources' format
	$(BIN)/ruff check $(PYTHON_DIRS)
	$(BIN)/ruff format --check $(PYTHON_DIRS)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run -Werror $(BPF_SOURCES)

fmt: dev ## Rewrite the sources as make lint wants them
	$(BIN)/ruff check --fix $(PYTHON_DIRS)
	$(BIN)/ruff format $(PYTHON_DIRS)
	$(BIN)/clang-format -i $(BPF_SOURCES)

bench: dev ## Measure the figures the documents quote; takes minutes and wants a quiet machine
	@scripts/bench.sh $(ARGS)

lab: setup ## Record the fault laboratory's collection into build/lab (hours; ARGS='--part test'): needs root and a quiet host
	@scripts/lab.sh $(ARGS)

clean: ## Remove .venv, compiled objects and caches (system packages and the data directory stay)
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -f src/linnix/cognitod/bpf/*.o
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
