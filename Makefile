# Two commands do everything, set-up included:  make book  and  make test
PY   := .venv/bin/python
STAMP := .venv/.installed
PYTHON ?= python3
# TORCH=cpu: PyTorch's own build without CUDA, and none of the libraries that it would need; a fifth of the download
TORCH ?=
$(if $(filter-out cpu,$(TORCH)),$(error TORCH=$(TORCH) is not known: it is cpu, or is left out for PyTorch with CUDA))
CUDA_ONLY := ^(nvidia-|cuda-|triton==)

.PHONY: book test notebooks nbval grid grid-plan bench chaos slow mutants check readme rooms launch setup lock clean

book: $(STAMP)                     ## build the book into _build/html
	$(PY) book/build.py

test: $(STAMP) check               ## every test; one notebook is executed by papermill and again by nbval
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile

TIER ?= smoke
EXECUTED ?= build/notebooks
NOTEBOOKS := $(basename $(notdir $(wildcard notebooks/*.ipynb)))

notebooks: $(NOTEBOOKS:%=notebook-%)    ## execute every notebook in a tier, into build/notebooks/; `make -j2 notebooks TIER=smoke`

notebook-%: $(STAMP)
	@mkdir -p $(EXECUTED)/$(TIER) $(EXECUTED)/half-$(TIER)
	OMP_NUM_THREADS=1 $(PY) -m papermill --no-progress-bar --log-level WARNING -k python3 notebooks/$*.ipynb $(EXECUTED)/half-$(TIER)/$*.ipynb -p tier $(TIER)
	$(PY) -m featuremining.showing.executed $(EXECUTED)/half-$(TIER)/$*.ipynb $(EXECUTED)/$(TIER)/$*.ipynb

# each notebook on records of its own, both times from nothing: what others left, or what is committed, would be shown once and missed once
APART = FM_RUNS_DIR="$(CURDIR)/build/nbval/$*/$(1)/runs" FM_BUILD_DIR="$(CURDIR)/build/nbval/$*/$(1)" OMP_NUM_THREADS=1
nbval: $(NOTEBOOKS:%=nbval-%)      ## every notebook in the smoke tier, twice from nothing: the same tables and figures? `make -j2 nbval` (15 minutes)

nbval-%: $(STAMP)
	rm -rf build/nbval/$* && mkdir -p build/nbval/$*
	$(if $(BEGUN_$*),cd build/nbval/$(BEGUN_$*) && cp -r first again ../$*)
	$(call APART,first) $(MAKE) --no-print-directory notebook-$* TIER=smoke EXECUTED=build/nbval/$*
	$(call APART,again) $(PY) -m pytest -q -c /dev/null --rootdir=build/nbval -p no:cacheprovider -p no:xdist --nbval --nbval-current-env --nbval-cell-timeout=1800 build/nbval/$*/smoke/$*.ipynb

# what two notebooks train alike is trained once each time: the second begins with what the first left
BEGUN_activations := cifar
BEGUN_class_activation := cifar
BEGUN_detection := class_activation
BEGUN_pooling := cpu_study
$(foreach n,activations class_activation detection pooling,$(eval nbval-$n: nbval-$(BEGUN_$n)))

# make grid CELLS="T1.resnet56 X1" SEEDS=0-3 TIER=full: a word is a cell, or parts its id begins with; PROFILE=workflow/profiles/slurm on a cluster
CELLS  ?=
SEEDS  ?= 0
CORES  ?= $(shell getconf _NPROCESSORS_ONLN)
GPUS   ?= $(shell nvidia-smi -L 2>/dev/null | grep -c GPU)
PACK   ?= 1
ABSOLUTE = $$($(PY) -c 'import os, sys; print(os.path.abspath(sys.argv[1]))' "$(1)")
GRID_DIR = $(if $(FM_BUILD_DIR),$(call ABSOLUTE,$(FM_BUILD_DIR))/grid,build/grid)
GRID = $(foreach v,FM_DATA_DIR FM_RUNS_DIR FM_BUILD_DIR,$(if $($v),$v="$(call ABSOLUTE,$($v))")) $(PY) -m snakemake --snakefile workflow/Snakefile --directory "$(GRID_DIR)" --cores $(CORES) $(if $(PROFILE),--profile $(PROFILE),--resources gpu=$$(($(GPUS) * $(PACK)))) $(ARGS) \
	--config tier=$(TIER) cells="$(CELLS)" seeds="$(SEEDS)" cores=$(CORES) gpus=$(GPUS) pack=$(PACK)

grid: $(STAMP)                     ## train what is not on record yet of CELLS, SEEDS and TIER; after any death the same command goes on
	@mkdir -p "$(GRID_DIR)"
	$(GRID)

grid-plan: $(STAMP)                ## how many runs that would be, and how many hours
	@mkdir -p "$(GRID_DIR)"
	$(GRID) --dry-run --quiet rules progress reason host

bench: $(STAMP)                    ## every benchmark; leave the machine alone meanwhile (20 minutes or more)
	$(PY) benchmarks

chaos: $(STAMP)                    ## kill trainings of every method at random moments for 20 minutes: is each record bit for bit what it would be?
	OMP_NUM_THREADS=1 $(PY) tests/chaos.py --keep data/benchmarks/reliability/chaos.json

slow: $(STAMP)                     ## the tests that take minutes, and generated inputs a hundred times as many as in `make test`
	OMP_NUM_THREADS=1 $(PY) -m pytest -n 2 --dist loadfile -m slow
	OMP_NUM_THREADS=1 FM_HYPOTHESIS=slow $(PY) -m pytest -n 2 tests/test_any_input.py

mutants: $(STAMP)                  ## change one thing at a time in the methods: does a test notice?
	$(PY) tests/mutants.py

check: $(STAMP)                    ## style, types, and whether imports run one way, from room to room
	$(PY) -m ruff check .
	$(PY) -m mypy
	$(dir $(PY))lint-imports --no-cache --no-logo

readme: $(STAMP)                   ## README's table from the records
	$(PY) book/build.py --readme > README.new && mv README.new README.md

rooms: $(STAMP)                    ## the picture and the list of rooms, after a change of a room, its docstring or the import contract
	$(PY) book/rooms.py

launch: $(STAMP)                   ## after a change of the repository's address in _config.yml: into the notebooks' first cells
	$(PY) book/build.py --launch

setup: $(STAMP)                    ## only the environment

# bytecode is made once, here: where Python is told to write none, each start would compile what it imports
# a checkout that was moved has programs that begin with their old place: its environment is made anew
HERE := $(shell cat $(STAMP) 2>/dev/null)
# and so is one of another Python than the one that is named on the command line; another TORCH is put into it
IS := $(shell sed -n 's/^version = \(3\.[0-9]*\).*/\1/p' .venv/pyvenv.cfg 2>/dev/null)
NAMED := $(if $(filter command,$(firstword $(origin PYTHON))),$(shell "$(PYTHON)" -c 'import sys; print("%d.%d" % sys.version_info[:2])'))
OTHER := $(and $(IS),$(filter-out $(IS),$(NAMED)))
SWAP := $(if $(TORCH),$(filter-out $(TORCH),$(or $(shell cat .venv/.torch 2>/dev/null),cuda)))
ifneq ($(HERE)$(OTHER)$(SWAP),$(CURDIR))
.PHONY: $(STAMP)
endif
$(STAMP): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0])'
	$(if $(filter-out $(subst $() ,_,$(CURDIR)),$(subst $() ,_,$(HERE))),@echo "This checkout was moved: its environment is made anew."; rm -rf .venv)
	$(if $(OTHER),@echo "The environment is of Python $(IS): it is made anew with $(OTHER)."; rm -rf .venv)
	test -x $(PY) || "$(PYTHON)" -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check uv
	$(if $(filter cpu,$(TORCH)),grep -vE '$(CUDA_ONLY)',cat) requirements.lock | \
	  $(PY) -m uv pip sync --quiet --compile-bytecode --python $(PY) $(if $(filter cpu,$(TORCH)),--torch-backend=cpu) -
	$(PY) -m uv pip install --quiet --python $(PY) --no-deps -e .
	@printf '%s' "$(TORCH)" > .venv/.torch
	@printf '%s' "$(CURDIR)" > $(STAMP)

lock:                              ## after a change of pyproject.toml
	$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header --all-extras pyproject.toml -o requirements.lock

clean:                             ## the built book; checkpoints and weights stay
	rm -rf _build build/book .pytest_cache .ruff_cache
