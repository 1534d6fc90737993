SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

FAMILY ?= cv defect nlp
PRESET ?= quick
ON ?= local
DATASET ?=
DATA ?=
ARGS ?=
MODELS ?=
PORT ?= 8080
ROUNDS ?= 5
LOAD_S ?= 3
PEERS ?=
IMAGES ?=
LOADER ?=
REGISTRY ?=
PY := .venv/bin/python
SLIPWAY := .venv/bin/slipway
PYTEST_ARGS ?=
PYTEST := $(PY) -m pytest $(PYTEST_ARGS)
# a worker a core, one thread each; what a file's tests share is made once
PARALLEL := OMP_NUM_THREADS=1 SLIPWAY_THREADS=1 $(PYTEST) -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

.PHONY: help setup setup-dev pipeline-run train serve mlflow-ui compile monitoring promtool check fmt lock minio test test-e2e test-all bench bench-serving bench-training helm charts-check charts-readme wheel clean images images-load images-push images-list kind-up minikube-up cluster-install cluster-remove

help: ## This list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Options of pipeline-run: FAMILY=\"cv defect nlp\" DATASET= DATA=path PRESET=quick|full ON=local|kfp ARGS=\"--set epochs=3\""

setup:
	@scripts/setup.sh run

setup-dev:
	@scripts/setup.sh dev

pipeline-run: setup ## From raw data to served models: all three families, or FAMILY=cv
	@$(SLIPWAY) run $(FAMILY) --preset $(PRESET) --on $(ON) $(if $(DATASET),--dataset $(DATASET)) $(if $(DATA),--data '$(DATA)') $(ARGS)

train: pipeline-run ## The same, as FAMILY=cv DATASET=cifar10: a model is trained by its pipeline

serve: setup ## Serve every champion, or MODELS="cv-digits nlp-reviews@challenger", on PORT (8080)
	@$(SLIPWAY) serve $(MODELS) --port $(PORT)

mlflow-ui: setup ## MLflow's pages on http://127.0.0.1:5000
	@$(SLIPWAY) mlflow-ui

compile: setup ## Write the compiled pipelines (src/slipway/pipelines/compiled) anew
	@$(PY) -m slipway.pipelines.compile

monitoring: setup ## Write the platform chart's rules and dashboards anew, from src/slipway/monitor/slo.yaml
	@$(PY) -m slipway.monitor.render

promtool: ## Unpack Prometheus' promtool from Debian's package, for the tests of the rules, once, into .cache/bin
	@tests/helpers/unpack_promtool.sh .cache/bin

check: setup-dev ## Lint, types, import contracts; changes no file
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@$(PY) -m slipway.pipelines.compile --check
	@$(PY) -m slipway.monitor.render --check

fmt: setup-dev ## Format and mend what can be mended
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

lock: ## Resolve the dependencies anew (needs uv)
	@scripts/lock.sh

minio: ## Build the S3 server of the tests from its Go module, once, into .cache/bin
	@scripts/build_minio.sh .cache/bin/minio

test: setup-dev ## Unit, contracts, one family end to end: no network service, GPU or cluster
	@$(PARALLEL) -m 'not slow and not data and not e2e and not gpu and not bench'

test-e2e: setup-dev ## On the current kubeconfig's cluster: install, train, serve, break, upgrade, remove; needs images (make images images-load)
	@$(PYTEST) -m e2e -v tests/e2e

test-all: setup-dev ## All of it: kill matrix, all families, S3 (where Go is), and the real data under SLIPWAY_DATA
	@if command -v go >/dev/null; then $(MAKE) --no-print-directory minio; else echo "no Go here: the S3 tests will be skipped"; fi
	@if ! command -v helm >/dev/null && command -v go >/dev/null; then $(MAKE) --no-print-directory helm; fi
	@if command -v apt-get >/dev/null; then $(MAKE) --no-print-directory promtool; else echo "no apt-get here: without promtool the tests of rules will be skipped"; fi
	@$(PARALLEL) -m 'not e2e and not gpu and not bench'

helm: ## Build Helm from its Go module, once, into .cache/bin
	@scripts/build_helm.sh .cache/bin/helm

charts-check: setup-dev ## Charts: lint and render every ci/*-values.yaml, schema, README, tests; no cluster; helm of PATH or `make helm`
	@if ! command -v helm >/dev/null && [ ! -x .cache/bin/helm ]; then $(MAKE) --no-print-directory helm; fi
	@$(PY) scripts/chart_readme.py --check
	@$(PYTEST) -q tests/charts

charts-readme: setup-dev ## Write the table of values in the charts' READMEs anew
	@$(PY) scripts/chart_readme.py

bench: setup-dev ## Measure speed, minutes: n and spread beside each number
	@$(PYTEST) -m 'bench and not quality' -s tests/benchmarks

bench-serving: setup-dev ## Load the server by h2load, beside others with PEERS=all: tests/benchmarks/SERVING.md; ROUNDS=5 LOAD_S=3
	@tests/helpers/unpack_h2load.sh .cache/h2load
	@$(PY) -m tests.benchmarks.serving --rounds $(ROUNDS) --seconds $(LOAD_S) --peers '$(PEERS)' $(ARGS)

bench-training: setup-dev ## Train on the real data under SLIPWAY_DATA, hours; PYTEST_ARGS='-k NAME' for one row; goes on after a kill
	@$(PYTEST) -m quality -s tests/benchmarks

images: setup ## Build the platform's images by docker (SLIPWAY_TORCH_INDEX for a CPU-only torch) and lock them: IMAGES="serve train"
	@$(PY) scripts/images.py build $(IMAGES)

images-load: setup ## Put the built images into kind or minikube, or by LOADER="command that gets a name"
	@$(PY) scripts/images.py load $(IMAGES) $(if $(LOADER),--with '$(LOADER)')

images-push: setup ## Push the built images to REGISTRY=registry.example/team; the lock then names them by digest
	@$(PY) scripts/images.py push $(IMAGES) --registry '$(REGISTRY)'

images-list: setup ## Every image the platform needs, ours and others', as REGISTRY would name it
	@$(PY) scripts/images.py list --registry '$(REGISTRY)'

kind-up: ## A kind cluster with the platform in it, from nothing
	@kind get clusters | grep -qx slipway || kind create cluster --config manifests/overlays/kind/kind.yaml --wait 180s
	@kubectl config use-context kind-slipway
	@$(MAKE) --no-print-directory images images-load cluster-install

minikube-up: ## A minikube cluster with the platform in it, from nothing
	@minikube status >/dev/null 2>&1 || minikube start --cpus=2 --memory=8g
	@kubectl config use-context minikube
	@$(MAKE) --no-print-directory images images-load cluster-install

cluster-install: setup ## The platform on the current kubeconfig's cluster, or its upgrade: ARGS="--overlay base --values FILE"
	@$(PY) scripts/cluster.py install $(ARGS)

cluster-remove: setup ## Remove the platform and its data; ARGS=--all also what cluster-install added of others'
	@$(PY) scripts/cluster.py remove $(ARGS)

wheel: setup ## Build the wheel into dist/
	@$(PY) -m hatchling build -t wheel

clean: ## Remove what make made here; runs and models under SLIPWAY_HOME stay
	@rm -rf .venv .cache build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
