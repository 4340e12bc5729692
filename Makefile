# MiniRes: every target runs in a virtual environment that is made at first use. `make` alone lists the targets.

PYTHON ?= python3
VENV ?= .venv
OUT ?= demo-out
CUPY ?= cuda13x
LESSONS ?= cache
SITE ?= build/docs
KERNELS := build/kernels-$(subst /,-,$(VENV))
JOBS ?= auto
ARGS ?=

RUN := "$(VENV)/bin/python"
PARALLEL = -n $(JOBS) --maxprocesses 8 --dist worksteal
PIP := $(RUN) -m pip --disable-pip-version-check

# The environment is made anew if its interpreter is gone (after a system upgrade, for instance), or if PYTHON was named
# and has another version.
version = $(shell $(1) -c 'import sys; print(sys.version_info[:2])' 2>/dev/null)
STALE := $(shell test -x $(RUN) || echo FORCE)
ifneq ($(origin PYTHON),file)
ifneq ($(call version,"$(PYTHON)"),$(call version,$(RUN)))
STALE := FORCE
endif
endif

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo docs test test-all test-gpu bench-gpu gpu-first-run sanitize test-aarch64 lint format wheel clean install install-dev install-docs install-gpu FORCE

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "with, where wanted, PYTHON=python3.12 (interpreter), VENV=DIR (environment), OUT=DIR (the demo's report),"
	@echo "JOBS=N (processes of the tests), ARGS='-k conv' (more for pytest), CUPY=cuda12x (for an older NVIDIA driver)"

demo: install  ## train a residual network and its plain twin on handwritten digits, and write a report
	$(RUN) -m minires demo --out "$(OUT)"
	@echo "The report: $(OUT)/report.html"

docs: install-docs  ## build the documentation site into build/docs; LESSONS=off does not execute its notebooks, a minute less
	MINIRES_LESSONS=$(LESSONS) $(RUN) -m sphinx -q --fail-on-warning --keep-going -d build/doctrees $(ARGS) docs "$(SITE)"
	@echo "The site: $(SITE)/index.html"

test: install-dev  ## run the tests that are not slow, in less than five minutes on two cores
	$(RUN) -m pytest -m "not slow and not torch" $(PARALLEL) $(ARGS)

test-all: install-dev  ## run all tests (against PyTorch too if it is installed) and measure their coverage
	$(RUN) -m pytest $(PARALLEL) --cov --cov-report=term:skip-covered --cov-fail-under=95 $(ARGS)

test-gpu: install-gpu  ## run the tests that need a GPU on it, as they are and under NVIDIA's compute-sanitizer
	@$(HAS_GPU)
	MINIRES_REQUIRE_GPU=1 $(RUN) -m pytest -m gpu $(ARGS)
	@$(if $(SANITIZER),,echo "There is no compute-sanitizer (NVIDIA's CUDA toolkit contains it): the tests do not run under it.")
	$(if $(SANITIZER),$(foreach tool,memcheck racecheck synccheck initcheck,$(call sanitized,$(tool)) &&) true)

bench-gpu: install-gpu  ## measure MiniRes beside PyTorch on a GPU (ARGS=--json, ARGS=--quick)
	@$(HAS_GPU)
	@$(RUN) -c 'import torch' 2>/dev/null || $(INSTALL) --editable '.[bench]' || { $(NOT_INSTALLED); }
	$(RUN) benchmarks/gpu.py $(ARGS)

# No environment is made and nothing installed: PYTHON has CuPy, pytest and perhaps PyTorch. OUT=DIR for the report.
gpu-first-run:  ## run every check and measurement on a GPU that is new to MiniRes, offline, in eight minutes
	"$(PYTHON)" -m benchmarks.on_gpu.first_run --out "$(if $(filter file,$(origin OUT)),gpu-first-run,$(OUT))" $(ARGS)

# The sanitizer knows only CUDA's own allocations: CuPy's pool would hide a kernel that writes beyond its array.
SANITIZER := $(firstword $(shell command -v compute-sanitizer) $(wildcard /usr/local/cuda/bin/compute-sanitizer))
sanitized = MINIRES_REQUIRE_GPU=1 MINIRES_CUPY_POOL=0 "$(SANITIZER)" --tool $(1) --error-exitcode 1 \
	$(RUN) -m pytest -m gpu $(ARGS)
HAS_GPU = $(RUN) -c 'import sys; from minires import cuda; found = cuda.is_available(); \
	found or sys.exit("There is no GPU to use: " + found.reason)'

sanitize: install-dev  ## drive the C and CUDA kernels under AddressSanitizer and UndefinedBehaviorSanitizer (GCC on Linux)
	$(RUN) -m tests.backend.cpu.sanitize $(ARGS)
	$(RUN) -m tests.cudasim.sanitize

test-aarch64: install-dev  ## build the C kernels for 64-bit ARM and check them under an emulator (needs a cross compiler and qemu)
	$(RUN) -m tests.backend.cpu.standalone $(ARGS)

C_AND_CUDA := $(wildcard kernels/cpu/*.[ch] tests/backend/cpu/standalone/*.[ch] kernels/cuda/*.cu kernels/cuda/*.cuh tests/cudasim/simulator/*.h tests/cudasim/simulator/*.cpp)

lint: install-dev  ## check style, layout and types
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	"$(VENV)/bin/clang-format" --dry-run -Werror $(C_AND_CUDA)
	$(RUN) -m mypy

format: install-dev  ## repair what `make lint` says about style and layout
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .
	"$(VENV)/bin/clang-format" -i $(C_AND_CUDA)

wheel: install-dev  ## build the source archive, and from it the installable package, into dist/
	rm -rf dist
	$(RUN) setup.py --quiet sdist
	$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist dist/*.tar.gz

clean:  ## remove what the other targets made, but for the environment
	rm -rf build dist *.egg-info demo-out .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f minires/backend/cpu/*.so
	find . -name __pycache__ -not -path "./$(VENV)/*" -prune -exec rm -rf {} +

# The environment. A stamp is written after its step has succeeded. So an interrupted installation is repeated, and a
# finished one needs no network until pyproject.toml changes.

# Bytecode is compiled at the first import, which most modules of the dependencies never see: half a minute less.
INSTALL := MINIRES_KERNELS=none $(PIP) install --quiet --no-compile 'setuptools>=77'

install: $(VENV)/.installed $(KERNELS)
install-dev: $(VENV)/.installed-dev $(KERNELS)
install-docs: install $(VENV)/.installed-docs
install-gpu: install-dev $(VENV)/.installed-$(CUPY)

$(VENV)/.installed: pyproject.toml $(VENV)/.created
	@echo "Installing MiniRes and what it needs into $(VENV)"
	@$(INSTALL) --editable '.[all]' || { $(NOT_INSTALLED); }
	@touch "$@"

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.created
	@echo "Installing MiniRes, what it needs and what tests it into $(VENV)"
	@$(INSTALL) --editable '.[dev]' || { $(NOT_INSTALLED); }
	@touch "$@" "$(VENV)/.installed"

$(VENV)/.installed-docs: pyproject.toml $(VENV)/.created
	@echo "Installing what builds the documentation site into $(VENV)"
	@$(INSTALL) --editable '.[docs]' || { $(NOT_INSTALLED); }
	@touch "$@"

# One CuPy at a time: two in one environment overwrite each other's files.
$(VENV)/.installed-$(CUPY): pyproject.toml $(VENV)/.created
	@echo "Installing CuPy with the parts of CUDA that it needs ($(CUPY)) into $(VENV)"
	@rm -f "$(VENV)"/.installed-cuda*
	@$(PIP) uninstall --quiet --yes cupy-cuda12x cupy-cuda13x 2>/dev/null
	@$(INSTALL) --editable '.[dev,$(CUPY)]' || { $(NOT_INSTALLED); }
	@touch "$@"

# The C kernels are built inside minires/ by installed tools, so a change to them needs no network. Without a compiler
# setup.py says so, no stamp is written, and the next `make` tries again.
$(KERNELS): $(VENV)/.installed setup.py $(wildcard kernels/cpu/*.[ch])
	@echo "Building the C kernels"
	@$(RUN) setup.py --quiet build_ext --inplace
	@mkdir -p build
	@$(RUN) -c 'from minires.backend.cpu import isa; isa.built() and open("$@", "w")'

$(VENV)/.created: $(STALE)
	@"$(PYTHON)" -c '' 2>/dev/null || { $(NO_PYTHON); }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { $(OLD_PYTHON); }
	@"$(PYTHON)" -c 'import venv, ensurepip' 2>/dev/null || { $(NO_VENV); }
	@echo "Making a virtual environment in $(VENV)"
	@"$(PYTHON)" -m venv --clear "$(VENV)" || { rm -rf "$(VENV)"; $(NO_VENV); }
	@$(PIP) install --quiet 'pip>=23.1' || { $(NOT_INSTALLED); }
	@touch "$@"

ANOTHER := or name another interpreter, as in: make PYTHON=python3.12
NO_PYTHON = echo "$(PYTHON) does not start: install Python 3.10 or newer, $(ANOTHER)"; exit 1
OLD_PYTHON = echo "MiniRes needs Python 3.10 or newer, $(PYTHON) is `"$(PYTHON)" -V 2>&1`: update it, $(ANOTHER)"; exit 1
NO_VENV = echo "$(PYTHON) cannot make a virtual environment: install its venv module (on Debian and Ubuntu:" \
	"apt install python3-venv), $(ANOTHER)"; exit 1
NOT_INSTALLED = echo "The installation failed; pip says why above. The first one needs a network." \
	"Run the same command again to go on."; exit 1
