# `make demo` and `make test` do all their own set-up. What they make lies in .venv*/ and build/
# (and in the tools' own caches, which git ignores); `make clean` removes it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

working = $(shell for each in $(1); do "$$each" --version >/dev/null 2>&1 && echo "$$each" && break; done)
python = $(or $(1),$(error no working $(2) found: install one, or set PYTHON))
PYTHON ?= $(call working,python3.11 python3.12 python3.13)
# Jetson's Python: the runtime's tests run on it too, where it is installed.
PYTHON310 ?= $(call working,python3.10 $(wildcard $(HOME)/.pyenv/versions/3.10.*/bin/python) \
	$(wildcard $(PYENV_ROOT)/versions/3.10.*/bin/python))
PIP = -m pip install --quiet --disable-pip-version-check
BIN := .venv/bin
SCENE := --input rgb=examples/scene-rgb.tif

.PHONY: demo test test-base lint types contracts train peers clean

demo: build/tiny
	$(BIN)/edgespark verify build/tiny
	$(BIN)/python examples/tour.py build/tiny
	$(BIN)/edgespark run build/tiny $(SCENE) --prompt "What is in this scene?"

test: .venv/ready build/tiny
	$(BIN)/python -m pytest -q
	$(MAKE) test-base PYTHON310="$(PYTHON310)"

# The base install alone (no torch, onnx, rasterio or Pillow): the runtime, and what it may import.
test-base: .venv-base/ready build/tiny
	.venv-base/bin/python -m pytest -q tests/runtime tests/test_layers.py
ifeq ($(PYTHON310),)
	@echo "NOT RUN: the runtime's tests on Python 3.10: no working python3.10 (set PYTHON310)"
else
	$(MAKE) .venv-base-3.10/ready PYTHON310="$(PYTHON310)"
	.venv-base-3.10/bin/python -m pytest -q tests/runtime tests/test_layers.py
endif

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

contracts: .venv/ready
	$(BIN)/lint-imports

# Threads that wait must sleep: where other work shares the cores, spinning makes a step 2.6 times longer.
train: .venv/ready
	OMP_WAIT_POLICY=passive $(BIN)/python -m edgespark.export.train --out build/allspark-tiny

# torch comes first and alone: from where pip finds a CPU build, if it was told of one.
.venv/ready: pyproject.toml
	$(call python,$(PYTHON),python3.11 or later) -m venv .venv
	$(BIN)/python $(PIP) torch==2.13.0
	$(BIN)/python $(PIP) --editable ".[geo,media,tables,export,dev]"
	touch $@

.venv-base/ready: pyproject.toml
	$(call python,$(PYTHON),python3.11 or later) -m venv .venv-base
	.venv-base/bin/python $(PIP) --editable . "pytest>=8" "hypothesis>=6"
	touch $@

.venv-base-3.10/ready: pyproject.toml
	$(PYTHON310) -m venv .venv-base-3.10
	.venv-base-3.10/bin/python $(PIP) --editable . "pytest>=8" "hypothesis>=6"
	touch $@

SOURCES := $(shell find runtime calibration engines export -name '*.py' -o -path '*/weights/*' -type f)
build/calibration: .venv/ready $(SOURCES)
	$(BIN)/python -m edgespark.export.calibration_set build/calibration --replace
	touch build/calibration

build/tiny: .venv/ready build/calibration $(SOURCES)
	$(BIN)/export-engines allspark-tiny --out build/tiny --precision fp32,fp16,int8 \
		--calibration build/calibration --samples 64 --budget 1 --target cpu $(if $(wildcard build/tiny),--replace)
	touch build/tiny

# The peers that benchmarks/encoder.py and llm.py run beside ours, each in an environment of its own.
# llama.cpp is built from its source for the CPU that it is built on (minutes; needs cmake and g++).
peers: .venv/ready $(patsubst %,build/peers/%/ready,openvino genai llama)

build/peers/%/ready: benchmarks/peers/%.txt
	$(call python,$(PYTHON),python3.11 or later) -m venv build/peers/$*
	CMAKE_ARGS="-DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DMTMD_BUILD=OFF" \
		build/peers/$*/bin/python $(PIP) --requirement $<
	touch $@

clean:
	rm -rf .venv .venv-base .venv-base-3.10 build .hypothesis .*_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
