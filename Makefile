# make book    read the book with numbers from this machine
# make test    check everything
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
BROWSER := tests/browser/node_modules/.package-lock.json
WORKERS ?= 2
PORT ?= 8000

.DEFAULT_GOAL := help
.PHONY: help setup book smoke html slides bundle test sync record bench data serve clean \
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
	@$(PY) tools/book.py

smoke: setup  ## run every cell of the book on tiny data, in a minute or two
	@TAILWISE_PROFILE=smoke $(PY) tools/execute.py
	@TAILWISE_PROFILE=smoke $(PY) tools/scoreboard.py

html: setup  ## build _build/html from the committed outputs, executing nothing
	@TAILWISE_PROFILE=laptop $(PY) tools/stage.py

slides: setup  ## draw _build/slides.html, one file that needs no network
	@TAILWISE_PROFILE=laptop $(PY) tools/slides.py

bundle: setup  ## pack site, notebooks, slides and wheel into dist/, for a room without network
	@TAILWISE_PROFILE=laptop $(PY) tools/stage.py --executed
	@TAILWISE_PROFILE=laptop $(PY) tools/bundle.py

# One thread each: two test processes share the cores. Records go aside, so that a test
# never replaces the last good run. Notebooks run at the smoke profile: see conftest.py.
test: export TAILWISE_PROFILE = laptop
test: export TAILWISE_RESULTS = $(CURDIR)/_build/test-results
test: export OMP_NUM_THREADS = 1
test: setup $(BROWSER)  ## lint, build the HTML, run every test and every notebook
	@$(PY) -m ruff check
	@$(PY) -m ruff format --check
	@$(PY) tools/stage.py --executed
	@$(PY) -m pytest -n $(WORKERS) --dist loadfile

$(BROWSER): tests/browser/package-lock.json
	@npm ci --prefix tests/browser --silent --no-audit --no-fund && touch $@ || \
	  echo "npm could not install the browser tests: they will be skipped"

sync: setup  ## bring the .ipynb halves up to date with the .py halves
	@$(PY) tools/sync.py

record: setup  ## make the last run the recorded one, to be committed
	@$(PY) tools/record.py

bench: setup  ## time whole figures against the tools people use today
	@for script in benchmarks/*.py; do $(PY) $$script || exit 1; done

data: setup  ## DATASET=cifar100: fetch what the book does not ship
	@$(PY) tools/data.py $(DATASET)

serve: setup  ## show _build/html at http://127.0.0.1:8000; PORT=8001 takes another
	@$(PY) -c 'import socket; socket.create_server(("127.0.0.1", $(PORT)))' 2> /dev/null || \
	  { echo "port $(PORT) is in use, by an earlier make serve? Try make serve PORT=8001"; exit 1; }
	@$(PY) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

clean:  ## remove what was built; .venv stays
	rm -rf _build .pytest_cache .ruff_cache dist

set-repository: setup  ## REPO=owner/name: rewrite every link and install cell
	@$(PY) tools/set_repository.py $(REPO)
