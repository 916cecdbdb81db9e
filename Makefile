# make book    read the book with numbers from this machine
# make test    check everything
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
WORKERS ?= 2
PORT ?= 8000
# On CI the files of the package that tests do not cover are named.
COVERAGE := -m slipcover --source $(CURDIR)/src/tailwise --skip-covered

.DEFAULT_GOAL := help
.PHONY: help setup book smoke html slides bundle epub pdf test sync record reseed bench data paper serve clean \
  set-repository

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /\t/' | expand -t 18

setup: $(READY)  ## create .venv and install the pinned packages

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install -c constraints.txt torch torchvision
	$(PY) -m pip install -c constraints.txt -e ".[book,test]"
	@touch $@

book: setup  ## execute what changed, print the verdicts, build _build/html
	@$(PY) -m tools.book.make

smoke: setup  ## run every cell of the book on tiny data, in a minute or two
	@TAILWISE_PROFILE=smoke $(PY) -m tools.book.execute
	@TAILWISE_PROFILE=smoke $(PY) -m tools.book.verdicts

html: setup  ## build _build/html from the committed outputs, executing nothing
	@TAILWISE_PROFILE=laptop $(PY) -m tools.book.stage

slides: setup  ## draw _build/slides.html, one file that needs no network
	@TAILWISE_PROFILE=laptop $(PY) -m tools.site.slides

bundle: setup  ## pack site, notebooks, slides and wheel into dist/, for a room without network
	@TAILWISE_PROFILE=laptop $(PY) -m tools.book.stage --executed
	@TAILWISE_PROFILE=laptop $(PY) -m tools.ship.bundle

epub: setup  ## draw dist/tailwise-….epub, the whole book as one file for a reader
	@TAILWISE_PROFILE=laptop $(PY) -m tools.book.stage --executed
	@TAILWISE_PROFILE=laptop $(PY) -m tools.ship.epub

pdf: setup  ## print dist/tailwise-….pdf, the same book on sheets, with Chromium
	@TAILWISE_PROFILE=laptop $(PY) -m tools.book.stage --executed
	@TAILWISE_PROFILE=laptop $(PY) -m tools.ship.pdf

# One thread each: two test processes share the cores. Records go aside, so that a test
# never replaces the last good run, which the pages show. Notebooks run at the smoke
# profile: see conftest.py.
test: export TAILWISE_PROFILE = laptop
test: export TAILWISE_RESULTS = $(CURDIR)/_build/test-results
test: export OMP_NUM_THREADS = 1
test: setup  ## lint, build the HTML, run every test and every notebook
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@TAILWISE_RESULTS= $(PY) -m tools.book.stage --executed
	@$(PY) $(if $(CI),$(COVERAGE)) -m pytest -n $(WORKERS) --dist loadscope

sync: setup  ## bring the .ipynb halves up to date with the .py halves
	@$(PY) -m tools.book.sync

record: setup  ## make the last run the recorded one; CHAPTER=6 takes that chapter alone
	@$(PY) -m tools.book.record $(if $(CHAPTER),$(CHAPTER)_)

reseed: setup  ## run the chapters with N sets of fresh seeds (5), keep how verdicts came out
	@TAILWISE_PROFILE=laptop $(PY) -m tools.book.reseed $(or $(N),5)

bench: setup  ## time whole figures against the tools people use today
	@for script in benchmarks/*.py; do $(PY) $$script || exit 1; done

data: setup  ## DATASET=cifar100: fetch what the book does not ship
	@$(PY) -m tools.ship.data $(DATASET)

paper: setup  ## CHAPTER=5: what a run at paper size takes; with YES=1 run it, or go on
	@$(PY) -m tools.paper $(CHAPTER) $(if $(YES),--yes) $(OPTIONS)

serve: setup  ## show _build/html at http://127.0.0.1:8000; PORT=8001 takes another
	@$(PY) -c 'import socket; socket.create_server(("127.0.0.1", $(PORT)))' 2> /dev/null || \
	  { echo "port $(PORT) is in use, by an earlier make serve? Try make serve PORT=8001"; exit 1; }
	@$(PY) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

clean:  ## remove what was built; .venv stays
	rm -rf _build .pytest_cache .ruff_cache dist

set-repository: setup  ## REPO=owner/name: rewrite every link and install cell
	@$(PY) -m tools.ship.set_repository $(REPO)
