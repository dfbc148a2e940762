# `make demo` and `make test` do all their own set-up; everything they make lies in .venv*/ and build/.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

working = $(shell for each in $(1); do "$$each" --version >/dev/null 2>&1 && echo "$$each" && break; done)
PYTHON ?= $(call working,python3.11 python3.12 python3)
# Jetson's Python: the runtime's tests run on it too, where it is installed.
PYTHON310 ?= $(call working,python3.10 $(wildcard $(HOME)/.pyenv/versions/3.10.*/bin/python))
PIP = -m pip install --quiet --disable-pip-version-check
BIN := .venv/bin
SCENE := --input rgb=examples/scene-rgb.tif

.PHONY: demo test lint types contracts train clean

demo: build/tiny
	$(BIN)/edgespark verify build/tiny
	$(BIN)/edgespark run build/tiny $(SCENE) --prompt "What is in this scene?"

test: .venv/ready build/tiny
	$(BIN)/python -m pytest -q
	$(MAKE) --no-print-directory test310

.PHONY: test310
ifeq ($(PYTHON310),)
test310:
	@echo "NOT RUN: the runtime's tests on Python 3.10; no working python3.10 was found (set PYTHON310)"
else
test310: .venv310/ready build/tiny
	.venv310/bin/python -m pytest -q tests/runtime
endif

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

contracts: .venv/ready
	$(BIN)/lint-imports

train: .venv/ready
	$(BIN)/python -m edgespark.export.train --out build/allspark-tiny

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python $(PIP) torch==2.13.0
	$(BIN)/python $(PIP) --editable ".[geo,media,export,dev]"
	touch $@

# The base install and what runs tests: no torch, no onnx, no rasterio.
.venv310/ready: pyproject.toml
	$(PYTHON310) -m venv .venv310
	.venv310/bin/python $(PIP) --editable . "pytest>=8" "hypothesis>=6"
	touch $@

EXPORTS := $(shell find runtime calibration engines export -name '*.py' -o -name '*.safetensors' 2>/dev/null)
build/tiny: .venv/ready $(EXPORTS)
	mkdir -p build
	$(BIN)/export-engines allspark-tiny --out build/tiny $(if $(wildcard build/tiny),--replace)
	touch build/tiny

clean:
	rm -rf .venv .venv310 build
