# Start with `make demo` and `make test`. Both set up everything they need in .venv.

PYTHON ?= python3
CORES ?= 2
BIN := .venv/bin
READY := .venv/ready

.DEFAULT_GOAL := help
TOOLS := .peers/tools

.PHONY: help setup demo ui reel pictures test lint format bench bench-alignment reference docs cluster hashes sbom clean

help:
	@echo "make setup      create .venv with all packages; all other targets do so too"
	@echo "make demo       run the full pipeline on a small corpus of real recordings, into results/demo (three to ten minutes)"
	@echo "make ui         show the twins of the demo in MLflow (RESULTS=results for your own)"
	@echo "make reel       make a reel of three minutes from public-domain music, to record a device without a corpus"
	@echo "make test       run all tests"
	@echo "make lint       check format, style, types and the workflow"
	@echo "make bench      measure speed relative to other libraries"
	@echo "make bench-alignment  test the aligner on takes with ground truth, and measure its speed (half an hour)"
	@echo "make pictures   run the demo and update the pictures of README.md"
	@echo "make reference  write config/config.schema.json, workflow/envs, and the tables of config/README.md and workflow/README.md"
	@echo "make docs       build the documentation into build/docs"
	@echo "make cluster    install the plugins for clusters, for the tests, into .peers"
	@echo "make hashes     write the locks with hashes from requirements.lock and pyproject.toml"
	@echo "make sbom       list all packages in build/sbom.cdx.json (CycloneDX)"
	@echo "make clean      remove .venv, .peers, .snakemake, caches, logs and results/demo"

$(READY): requirements.lock pyproject.toml setup.py twinlib/kernels/build.py $(wildcard twinlib/kernels/source/*)
	@echo "== setting up .venv (once; some minutes, mostly to download torch)"
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

setup: $(READY)

demo: $(READY)
	@echo "== the demo: from config/demo_corpus to two twins in results/demo"
	$(BIN)/snakemake --configfile config/demo.yaml --cores $(CORES)

RESULTS ?= results/demo

ui: $(READY)
	$(BIN)/python -m twinlib.tracking.ui --results $(RESULTS) $(if $(URI),--uri $(URI)) $(if $(PORT),--port $(PORT))

reel: $(READY)
	$(BIN)/snakemake --configfile config/reel.yaml --cores $(CORES) excitation
	@echo "== play results/reel/excitations/standard/reels/standard-01.wav through the device; results/reel/excitations/standard/recording.html says how:"
	@echo "     $(BIN)/twin record --config config/reel.yaml"
	@echo "   then: $(BIN)/snakemake --configfile config/reel.yaml --cores $(CORES)"

pictures: demo
	mkdir -p results/pictures
	cp results/demo/devices/clipper/demo-01/alignment.svg results/demo/twins/clipper/small/evaluation/probe/loops.svg \
		results/demo/twins/clipper/small/evaluation/probe/harmonics.svg results/pictures

# A process more than cores, because some tests wait: for a server, a cluster, or the end of a take.
test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $$(($(CORES) + 1)) --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/snakefmt --check workflow
	$(BIN)/snakemake --lint --configfile config/demo.yaml

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt workflow

bench: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/sampling.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/loader.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/kernels.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/rendering.py

bench-alignment: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/alignment.py --quick --jobs $(CORES)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/alignment_speed.py

reference: $(READY)
	$(BIN)/python scripts/config_reference.py
	$(BIN)/python workflow/reference.py

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

$(TOOLS)/ready:
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --disable-pip-version-check --quiet uv==0.13.9 cyclonedx-bom==7.5.0
	@touch $@

# In a folder of their own, because every start of Snakemake imports all installed plugins, for half a CPU second.
cluster: $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --upgrade --target .peers/cluster \
		--requirement requirements-cluster.lock

hashes: $(TOOLS)/ready
	echo "# Made by make hashes from requirements.lock: all files of each version for all platforms." > requirements-hashed.lock
	$(TOOLS)/bin/uv pip compile requirements.lock --quiet --generate-hashes --universal --python-version 3.11 --no-header \
		--no-annotate >> requirements-hashed.lock
	$(TOOLS)/bin/uv pip compile pyproject.toml --extra dev --extra cluster-dev --constraint requirements.lock --quiet \
		--generate-hashes --universal --python-version 3.11 --no-header --no-annotate --output-file requirements-cluster.lock \
		$$(sed -n 's/^\([^ #]*\)==.*/--no-emit-package \1/p' requirements-hashed.lock) > /dev/null
	sed -i "1i # Made by make hashes: what the extra cluster-dev needs besides requirements.lock." requirements-cluster.lock

sbom: $(TOOLS)/ready
	mkdir -p build
	$(TOOLS)/bin/cyclonedx-py requirements requirements-hashed.lock --of JSON --output-file build/sbom.cdx.json

clean:
	rm -rf .venv .peers .snakemake .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info results/demo logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
