# The line with one command. `make help` lists the targets.

PYTHON ?= python3.11
RECIPE ?= recipes/crashchat_pocket.yaml
# Options of `compile`, for example --lock FILE.
OPTIONS ?=
# Images to build, all by default; what they are built from; Docker's client.
IMAGES ?=
BASE_IMAGE ?=
DOCKER ?= docker
UI_PORT ?= 5000
# A file of environment variables for `make run`, such as the one that `make services` writes.
ENV ?=
# Options of `hazardline services up`, for example --mlflow-port 5002.
SERVICES ?=
# Processes that tests are dealt out to, by file; a line of the tests takes up to 5 GB.
TEST_WORKERS ?= 2
# The folder of Docker's data for `make test-images`, 16 GB; what is in it already is used. `make test` goes by the
# environment alone.
IMAGES_FOLDER ?= .docker-tests

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed.stamp
GPU_STAMP := $(VENV)/gpu.stamp
UV_VERSION := 0.13.9
lock = $(BIN)/uv --no-config pip compile --quiet --no-header --no-annotate --generate-hashes --python-version 3.11 \
  --default-index https://pypi.org/simple --python-platform x86_64-manylinux_2_28 --constraint constraints.txt \
  --output-file docker/$(1).lock.txt $(2)
HOME_FOLDER = $${HAZARDLINE_HOME:-.hazardline}

# Two OpenMP threads that spin on a shared machine are slower than one; deepspeed must not compile anything.
export OMP_WAIT_POLICY := passive
export DS_BUILD_OPS := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help run test test-images lint types compile images image-locks ui services services-stop services-status pocket-base pocket-image-base bench clean check-machine

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMP) ## Install what is needed and run the whole line (RECIPE=recipes/crashchat_pocket.yaml ENV=).
	@! grep -Eqs '^ *(quantisation: nf4|optimizer: adamw_8bit|parallelism: zero)' $(RECIPE) || \
	  $(MAKE) --no-print-directory $(GPU_STAMP)
	@test -z "$(ENV)" || test -r "$(ENV)" || { echo >&2 "ENV=$(ENV): no such file; make services writes one"; exit 2; }
	@set -a; $(if $(ENV),. "$(abspath $(ENV))";) set +a; $(BIN)/python -m pipelines run $(RECIPE)

test: lint types $(GPU_STAMP) ## Install what is needed and run lint, types and all tests.
	@$(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder

# One process: what is dealt out to several would build and run everything in each.
test-images: $(STAMP) ## Build images and test them and the line in containers, as root (IMAGES_FOLDER=.docker-tests).
	@HAZARDLINE_TEST_DOCKER="$(IMAGES_FOLDER)" $(BIN)/python -m pytest --numprocesses 0 tests/docker

lint: $(STAMP) ## Check style and format.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP) ## Check types.
	@$(BIN)/mypy --strict src

compile: $(STAMP) ## Write the pipeline YAML that a Kubeflow user interface takes (OPTIONS="--lock FILE").
	@$(BIN)/python -m pipelines compile $(RECIPE) $(OPTIONS)

images: $(STAMP) ## Build the container images with Docker (IMAGES="hazardline-device ..." BASE_IMAGE=NAME@sha256:...).
	@$(BIN)/python -m pipelines images build $(IMAGES:%=--image %) $(BASE_IMAGE:%=--base-image %) --docker $(DOCKER)

image-locks: $(STAMP) ## Resolve anew what the images install (docker/*.lock.txt), at the versions of constraints.txt.
	@$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	@$(call lock,build,docker/build.requirements.in)
	@$(call lock,sbom,docker/sbom.requirements.in)
	@$(call lock,pipeline,pyproject.toml --extra pipelines)
	@$(call lock,train,pyproject.toml --extra pipelines --extra gpu)
	@$(call lock,flash-attention,docker/flash-attention.requirements.in --no-deps)
	@$(call lock,export,docker/export.requirements.in)
	@$(call lock,device,docker/device.requirements.in)
	@$(call lock,mlflow,docker/mlflow.requirements.in)

ui: $(STAMP) ## Open the MLflow user interface on what runs have logged (UI_PORT=5000).
	@$(BIN)/python -m hazardline ui --port $(UI_PORT)

services: $(STAMP) ## Start MLflow on PostgreSQL and S3, as a team shares them; a run uses them by make run ENV=.
	@$(BIN)/python -m hazardline services up $(SERVICES)

services-stop: $(STAMP) ## Stop them; what they hold stays.
	@$(BIN)/python -m hazardline services down

services-status: $(STAMP) ## Say which of them are up.
	@$(BIN)/python -m hazardline services status

pocket-base: $(STAMP) ## Pre-train the pocket base anew (about an hour on two cores; it is in the repository already).
	@$(BIN)/python -m hazardline.pocket

pocket-image-base: $(STAMP) ## The same for the pocket image base (about an hour and a half).
	@$(BIN)/python -m hazardline.pocket --media image

bench: $(STAMP) ## Run the benchmarks (about two hours, added up; installs two peers of several GB each into .bench).
	@set -e; for name in simulate decode neighbours rows training; do echo "$$name"; $(BIN)/python -m benchmarks.$$name; done
	@set -e; folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	  $(BIN)/python -m benchmarks.newdata --clips 1000000 --folder "$$folder"

clean: ## Remove all that runs left in the home, data sets' versions, releases and signing keys as well. Not services.
	@test ! -d "$(HOME_FOLDER)" || find "$(HOME_FOLDER)" -mindepth 1 -maxdepth 1 ! -name services -exec rm -rf {} +
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache
	@find . \( -path ./$(VENV) -o -path ./.docker-tests \) -prune -o -type d -name __pycache__ -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt | check-machine
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo >&2 \
	  "A virtual environment could not be made with $(PYTHON). On Debian: apt-get install python3.11-venv"; exit 1; }
	@echo "Installing into $(VENV) (several GB the first time) ..."
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[pipelines,server,dev]'
	@touch $@

# bitsandbytes and DeepSpeed: the tests need them, and recipes with quantisation or ZeRO. Both also run on a CPU.
$(GPU_STAMP): $(STAMP)
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[gpu]'
	@touch $@

# Only looked at when something is to be installed: each message names what is missing and where it is.
check-machine:
	@test -f $(STAMP) || command -v $(PYTHON) >/dev/null || { echo >&2 \
	  "$(PYTHON) was not found; hazardline needs Python 3.11 (on Debian: apt-get install python3.11 python3.11-venv), or give its path: make PYTHON=..."; exit 1; }
	@test -f $(STAMP) || $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo >&2 \
	  "$(PYTHON) is not Python 3.11; give one: make PYTHON=/path/to/python3.11"; exit 1; }
	@test -f $(STAMP) || $(PYTHON) -c 'import ctypes; ctypes.CDLL("libX11.so.6")' 2>/dev/null || { echo >&2 \
	  "libX11.so.6 was not found; the simulator's renderer needs it (on Debian: apt-get install libx11-6)"; exit 1; }
