# GardenOS. `make help` lists the targets; docs say what each needs. Works with nothing but python3,
# python3-venv, make and git. Exit codes: 0 ok, 1 failed, 2 wrong use or something is missing.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PG ?=
BENCH ?=
ARGS ?=
KILLS ?= 20
SEED ?=
CHAOS ?= kills
# Packages are installed again only when the pins change.
hash = $(firstword $(shell cat $(1) | cksum))
RUN_PACKAGES := $(VENV)/.run-$(call hash,requirements.txt)
DEV_PACKAGES := $(VENV)/.dev-$(call hash,requirements.txt requirements-dev.txt)
# Tests have a server of their own; nothing of the caller's database or provider reaches them.
TEST_DATA := $(CURDIR)/.data-test$(if $(PG),-$(PG))
PG_BIN := $(if $(PG),/usr/lib/postgresql/$(PG)/bin)
WITHOUT := env $(foreach name,DATABASE_URL DATABASE_OWNER_URL DATABASE_LISTEN_URL DATABASE_READ_URL \
	SECRET_KEY EMAIL_URL CACHE_URL CHANNEL_LAYER_URL OPENAI_API_KEY DEEPINFRA_API_KEY,-u $(name) -u $(name)_FILE)
OWN := $(WITHOUT) GARDENOS_DATA_DIR=$(TEST_DATA) GARDENOS_PG_BIN=$(PG_BIN)
DEPLOY_TOOLS := .data-deploy
HA ?= full
HA_TOOLS := .data-ha
WORKERS := -n auto --maxprocesses=4 --dist=worksteal
BESIDE_SERVER := $(OWN) $(BIN)/python -m gardenos.embedded_postgres --disposable

.DEFAULT_GOAL := help
.PHONY: help run test test-chaos check check-deploy check-policies render bench docs lock test-deps test-e2e test-k8s test-images test-ha test-ops
.PHONY: screenshots clean pg-programs deploy-tools
.SUFFIXES:

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: $(RUN_PACKAGES) ## everything on this machine (GARDENOS_PORT, GARDENOS_BIND, GARDENOS_DATA_DIR)
	@exec $(BIN)/python manage.py up

test: $(DEV_PACKAGES) pg-programs ## the test suite, without a browser (PG=15: on Debian's PostgreSQL; ARGS=...)
	@exec $(BESIDE_SERVER) $(BIN)/python -m pytest -q $(WORKERS) --ignore=tests/e2e $(ARGS)

test-e2e: $(DEV_PACKAGES) ## journeys in Chromium, with axe
	@.ci/test-deps e2e
	@exec $(BESIDE_SERVER) $(BIN)/python -m pytest -q $(WORKERS) --dist=loadfile tests/e2e $(ARGS)

screenshots: $(DEV_PACKAGES) ## the six screens as pictures, wide and narrow, light and dark, into docs/img
	@.ci/test-deps e2e
	@SCREENSHOTS_TO=docs/img exec $(BESIDE_SERVER) $(BIN)/python -m pytest -q tests/e2e/test_screens.py $(ARGS)

check: $(DEV_PACKAGES) ## formats, types, layers, templates, migrations, deployment settings, pins
	@$(OWN) .ci/check $(BIN)

check-deploy: $(DEV_PACKAGES) deploy-tools ## deploy/: manifests rendered, schemas, invariants, configuration files, scripts, Dockerfiles
	@.ci/test-deps deploy
	@$(OWN) .ci/check-deploy $(BIN) $(DEPLOY_TOOLS)

check-policies: ## checkov over the rendered sites (a big package of its own, so not in CI)
	@.ci/check-policies $(PYTHON) $(DEPLOY_TOOLS)

render: deploy-tools ## the manifests of every site anew, into deploy/k8s/rendered
	@.ci/render $(DEPLOY_TOOLS)/bin/kubectl deploy/k8s/rendered

test-chaos: $(DEV_PACKAGES) ## kills processes beside work (KILLS=20, SEED=n; CHAOS=shipped: freezes at the usual limits; CHAOS=rotate: new SECRET_KEYs)
	@exec $(BESIDE_SERVER) $(BIN)/python -m tests.chaos $(CHAOS) --kills $(KILLS) $(if $(SEED),--seed $(SEED)) $(ARGS)

test-ha: $(DEV_PACKAGES) $(HA_TOOLS)/.made ## failovers on real processes, as root: a table (HA=smoke: two of seven; HA=rolling: restarts; ARGS="--out FILE")
	@exec $(OWN) HA_PATRONI=$(CURDIR)/$(HA_TOOLS)/bin/patroni $(BIN)/python -m tests.ha $(HA) $(ARGS)

test-images: $(DEV_PACKAGES) ## the images built and run with buildah and podman, as root (IMAGES_DIR: a folder that keeps them)
	@.ci/test-deps images
	@exec $(OWN) TEST_IMAGES=1 $(BIN)/python -m pytest -q -m slow tests/deploy/images $(ARGS)

test-ops: $(DEV_PACKAGES) ## deploy/ops over ssh into three machines made of namespaces, with a real etcd, as root
	@.ci/test-deps ops
	@exec $(OWN) TEST_OPS=1 $(BIN)/python -m pytest -q -m slow tests/deploy/ops $(ARGS)

test-k8s: $(DEV_PACKAGES) deploy-tools ## every site against a real API server (KUBEBUILDER_ASSETS: folder with etcd and kube-apiserver)
	@exec $(OWN) KUBECTL=$(DEPLOY_TOOLS)/bin/kubectl $(BIN)/python -m pytest -q -m slow tests/deploy/test_api_server.py $(ARGS)

bench: $(DEV_PACKAGES) ## measures against floors; table and JSON rows (BENCH=name runs one, BENCH_OUT=file)
	@exec $(BESIDE_SERVER) $(BIN)/python -m tests.bench $(BENCH)

docs: $(DEV_PACKAGES) ## the documentation site, into docs/_build/html
	@exec $(OWN) $(BIN)/python -m sphinx -W -q -b html docs docs/_build/html

lock: $(DEV_PACKAGES) ## pin requirements*.in anew, with hashes
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		requirements.in -o requirements.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
		requirements-dev.in -o requirements-dev.txt

test-deps: ## Debian packages of all suites below `make test` (as root; else prints the line to run)
	@exec .ci/test-deps

clean: ## remove what was built: .venv, .data-test*, caches, docs; keeps .data
	rm -rf $(VENV) .data-test* $(DEPLOY_TOOLS) $(HA_TOOLS) docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Patroni has an environment of its own, of the system's Python: PostgreSQL's user must be able to run it.
$(HA_TOOLS)/.made: deploy/docker/postgres/requirements.txt
	@.ci/test-deps ha
	@.ci/install /usr/bin/python3 $(HA_TOOLS) $<
	@touch $@

deploy-tools:
	@.ci/deploy-tools $(PYTHON) $(DEPLOY_TOOLS)

pg-programs:
	@test -z "$(PG)" || test -x "$(PG_BIN)/postgres" || { \
		echo "PostgreSQL $(PG) is not here: apt-get install postgresql-$(PG)" >&2; exit 2; }

$(RUN_PACKAGES): requirements.txt
	@.ci/install $(PYTHON) $(VENV) requirements.txt
	@rm -f $(VENV)/.run-* && touch $@

$(DEV_PACKAGES): requirements.txt requirements-dev.txt | $(RUN_PACKAGES)
	@.ci/install $(PYTHON) $(VENV) requirements.txt requirements-dev.txt
	@rm -f $(VENV)/.dev-* && touch $@
