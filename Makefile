# Thin on purpose: what a target does stands in tools/. PYTHON=... chooses the interpreter.
MAKEFLAGS += --no-print-directory
SHELL := /bin/bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: chart programs help run test check lint types unit e2e autobahn autobahn-suite client node pages mutants fuzz docs docs-serve wheels pythons oldest fmt pins install browser servers brokers bench bench-compare bench-brokers bench-rolling clean

BIN := .venv/bin
# A worker starts servers of its own, so that there are not as many as a large machine has processors.
SIDE_BY_SIDE := -n auto --maxprocesses 4 --dist loadfile
# The code that only whole servers run is counted by these tests of them; counting slows all others by a quarter.
COVERED := tests/protocol tests/workers

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

run: ## install what the service needs into .venv, and start it on 127.0.0.1:8000
	@tools/install run && exec $(BIN)/wigwag serve

test: install browser servers programs autobahn-suite node lint types client pythons oldest mutants ## everything, from nothing
	@$(BIN)/pytest core/tests providers -q -n auto --cov --cov-report=
	@$(BIN)/pytest $(COVERED) -q $(SIDE_BY_SIDE) --cov --cov-append --cov-report=term --cov-fail-under=95
	@$(BIN)/pytest tests examples -q $(SIDE_BY_SIDE) $(addprefix --ignore=,$(COVERED))

check: lint types unit ## lint, types and unit tests: before each commit

lint: install ## ruff: rules and format
	@$(BIN)/ruff check --quiet && $(BIN)/ruff format --check --quiet && echo "lint: clean"

types: install ## mypy --strict and pyright
	@tools/types

unit: install ## the unit tests of core
	@$(BIN)/pytest core/tests -q -n auto

client: ## lint, types, unit tests and package checks of the TypeScript client, where Node is
	@tools/node clients/typescript lint types test package

e2e: install browser servers programs node ## what crosses packages: real sockets, a browser, the examples
	@$(BIN)/pytest tests examples -q $(SIDE_BY_SIDE)

autobahn-suite: # Autobahn's WebSocket suite, for the tests, where a CPython 2.7 is
	@tools/autobahn

autobahn: install autobahn-suite ## all of its cases: 20 minutes
	@PYTHONPATH=tests $(BIN)/python -m autobahn.everything

mutants: install ## plant known defects in core one by one, and see each caught: 3 minutes
	@$(BIN)/python tools/mutants.py

fuzz: install ## a million streams through the parser of frames, bent: half a minute (ARGS="--seconds 600")
	@$(BIN)/python tools/fuzz.py $(ARGS)

docs: install ## build the site of docs/, into .docs/site
	@$(BIN)/python tools/docs.py build

docs-serve: install ## the site on 127.0.0.1:8000, built anew when a page changes
	@exec $(BIN)/python tools/docs.py serve

chart: install programs ## write what the chart repeats of the code: variables in its schema, and its README
	@PYTHONPATH=tests $(BIN)/python tools/chart.py

programs: install # Helm and what checks the chart, where Go and npm are, into ~/.cache/wigwag
	@PYTHONPATH=tests $(BIN)/python -m charts.programs

wheels: install ## build each distribution, install it into an empty environment, try it
	@$(BIN)/pytest tests/test_wheels.py -v

pythons: install ## the unit tests on each other CPython of this machine
	@tools/pythons

oldest: install ## the unit tests with the lowest versions that core allows
	@tools/oldest

fmt: install ## mend what ruff and biome can mend, and format
	@$(BIN)/ruff check --fix-only --quiet && $(BIN)/ruff format --quiet && tools/node clients/typescript fmt

pins: ## make requirements/*.txt anew (UPGRADE=1: with newer versions)
	@tools/pins

install: ## the development environment, in .venv
	@tools/install dev

browser: ## chromium for the end-to-end tests, where apt-get can bring it
	@tools/browser

node: # what the tests and the TypeScript client need of npm, where Node is
	@tools/node

pages: node ## make anew the scripts of pages, which stand in the repository: after a change of the client
	@node tools/pages.mjs

servers: install ## real brokers for the tests: Debian's where apt-get can bring them, Kafka where Java and Maven are
	@tools/servers && PYTHONPATH=tests $(BIN)/python -m servers.kafka

bench: servers ## CPU, latency and memory beside other servers, into docs/performance.md: 25 minutes
	@tools/bench --write

bench-compare: install ## this checkout's wigwag beside that of a commit, BASE=rev: 2 minutes
	@tools/bench --compare $(BASE)

bench-brokers: servers ## CPU a message on each broker, beside the client libraries' own ways: 7 minutes
	@$(BIN)/python bench/brokers/run.py

bench-rolling: servers ## three replicas replaced under 1000 clients, on each broker, and the wrong ways to do it: 7 minutes
	@$(BIN)/python bench/rolling/run.py $(ARGS)

brokers: servers ## Redis, NATS and Kafka to play with, each with the line that starts wigwag on it
	@PYTHONPATH=tests exec $(BIN)/python tools/brokers.py

clean: ## remove what these targets made
	@rm -rf .venv .venv.lock .node.lock .venvs .brokers .autobahn .bench .docs .cache .coverage* .hypothesis .*_cache dist clients/typescript/dist {clients,tests}/*/node_modules && find . -name __pycache__ -prune -exec rm -rf {} +
