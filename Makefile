# Everything that is done with this project. Needs Python 3.10 or newer and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Without the closed compiler the demo ends with the file that is ready for it.
NO_COMPILE = $(shell command -v edgetpu_compiler >/dev/null || echo --no-compile)

.PHONY: demo test test-all test-legacy test-arm64 test-chips check docs format bench clean

demo: $(VENV)/runtime
	$(BIN)/edgekit build b0 --target edgetpu $(NO_COMPILE)

# In as many processes as there are cores: `make test PROCESSES=0` runs all in one.
PROCESSES ?= auto
PARALLEL = -n $(PROCESSES) --dist loadfile --no-loadscope-reorder --durations=15

test: $(VENV)/dev .venv-device/ready
	$(BIN)/python -m pytest $(PARALLEL)

test-all: $(VENV)/dev .venv-device/ready .android/ready
	$(BIN)/python -m pytest $(PARALLEL) -m "not legacy and not arm64 and not chips"

# The Edge TPU compiler's generation of TensorFlow: needs a Python 3.8, named by PYTHON38.
PYTHON38 ?= python3.8
test-legacy: $(VENV)/dev .venv-legacy/ready
	EDGEKIT_PY38=$(CURDIR)/.venv-legacy/bin/python $(BIN)/python -m pytest -m legacy

# Debian 12 and 13 for arm64 under qemu, as on a Raspberry Pi: needs root, debootstrap and
# qemu-user-static. An emulated half hour each, once.
test-arm64: $(VENV)/dev
	for suite in bookworm trixie; do PYTHON=$(BIN)/python tests/arm64/make_userland.sh $$suite .arm64/$$suite || exit; done
	$(BIN)/python -m pytest -m arm64 tests/arm64

# Makers' compilers and simulators, each in an environment of its own: some GB from PyPI.
TOOLCHAINS = $(CURDIR)/.toolchains
test-chips: $(VENV)/dev
	EDGEKIT_TOOLCHAINS=$(TOOLCHAINS) $(BIN)/edgekit toolchain install --all
	EDGEKIT_TOOLCHAINS=$(TOOLCHAINS) $(BIN)/python -m pytest -m chips

check: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py

# The site, in build/site: warnings and broken links are errors.
docs: $(VENV)/dev
	test -x $(BIN)/zensical || $(PIP_INSTALL) -e ".[docs]"
	$(BIN)/python docs/build.py

format: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/dev .timm/ready .smp/ready .effdet/ready
	for script in $$(grep -l __main__ benchmarks/*.py | grep -v _worker); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:
	rm -rf $(VENV) .timm .smp .effdet .venv-legacy .venv-device .android .arm64 .toolchains build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/runtime: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP_INSTALL) -e .
	touch $@

$(VENV)/dev: $(VENV)/runtime
	$(PIP_INSTALL) -e ".[dev]"
	touch $@

# What a Raspberry Pi has: the tests log in to it over a real ssh server and measure there.
.venv-device/ready:
	$(PYTHON) -m venv .venv-device
	.venv-device/bin/python -m pip install --quiet --disable-pip-version-check "tflite-runtime==2.14.0" "numpy<2" \
		|| echo "no tflite-runtime for this Python: the tests of devices will be skipped"
	touch $@

# What builds an app's sources: a Kotlin compiler, and TensorFlow Lite's C library with its headers.
.android/ready:
	mkdir -p .android
	cd .android && if npm pack --silent kotlin-compiler@2.4.20 tfjs-tflite-node@0.0.2; then \
		sha256sum --check --quiet ../tests/targets/deploy/android/packages.sha256 && \
		for file in *.tgz; do tar -xzf $$file --one-top-level=$${file%-*.tgz} && rm $$file; done; \
		else echo "no packages of npm: the tests that build an app will be skipped"; fi
	touch $@

# Its network files alone: beside the CPU build of torch there is no torchvision for the rest.
.timm/ready: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .timm timm==1.0.31
	touch $@

# Without what torchvision and torch would pull in: no network of it computes with torchvision.
.smp/ready: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target .smp huggingface-hub
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .smp segmentation-models-pytorch==0.6.0 timm==1.0.31 tqdm
	touch $@

.effdet/ready: $(VENV)/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target .effdet huggingface-hub omegaconf==2.3.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .effdet effdet==0.4.1 timm==1.0.31
	touch $@

.venv-legacy/ready:
	$(PYTHON38) -m venv .venv-legacy
	.venv-legacy/bin/python -m pip install --quiet "tensorflow-cpu==2.5.3" "protobuf<3.21" "numpy<1.20" "tflite-support==0.3.1"
	touch $@
