# Every target makes .venv itself and installs what it needs; what is there already is left as it is.
PYTHON ?= python3
FLAGS ?= long slow
ARGS ?=
comma := ,
BIN := .venv/bin
# Pages are dealt to a worker for each core and one more, four at most; a page's cells stay together
SHARED := -n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder
# The stamps' folder is named after the metadata and the place, so a change in either installs again
READY := .venv/ready-$(shell (cat settings.ini setup.py pyproject.toml; pwd) | cksum | cut -d' ' -f1)
# Some images switch it off; then each of a hundred processes would compile PyTorch's and fastai's sources again, 13 seconds each time
unexport PYTHONDONTWRITEBYTECODE
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: help demo test test-all docs lab readme clean

help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 18

demo: $(READY)/package ## Make clips, train a teacher and two students, compare them: runs/demo/report.html
	@$(BIN)/soccerkd demo $(ARGS)

test: $(READY)/test,docs ## Run the tests, notebooks included
	@$(BIN)/python -m pytest $(SHARED) $(ARGS)

test-all: $(READY)/test,docs ## The long tests and the slow cells too; FLAGS="long slow cuda" on a machine with a GPU
	@$(BIN)/python -m pytest --flags "$(FLAGS)" $(ARGS)

docs: $(READY)/docs ## Build the book into _build/html; a warning is an error
	@rm -rf _build/pages && mkdir -p _build/pages
	@$(BIN)/sphinx-build -qEW --keep-going -c docs -d _build/doctrees _build/pages _build/html
	@echo "open _build/html/index.html"

lab: $(READY)/lab,study ## Open the first page of the book in JupyterLab
	@$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) nbs/index.ipynb

readme: $(READY)/docs ## Write README.md from nbs/index.ipynb
	@$(BIN)/python docs/pages.py

clean: ## Remove what can be made again; .venv and runs stay
	rm -rf _build _docs _proc build dist .cache .pytest_cache .hypothesis *.egg-info
	find soccerkd nbs tests docs -name __pycache__ -prune -exec rm -rf {} +

# `package` is the package alone, any other name the extras to install with it. The stamp is written last: a broken install runs again.
# Not all 24,000 files are compiled ahead, but those that every program imports, by one process before many do it at once.
$(READY)/%:
	@command -v $(PYTHON) >/dev/null || { echo "soccerkd needs Python 3.11 or newer: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "soccerkd needs Python 3.11 or newer, and \
	$(PYTHON) is $$($(PYTHON) -V): name another one with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make a virtual environment: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --disable-pip-version-check --no-compile -e '.$(if $(filter-out package,$*),[$*])'
	@$(BIN)/python -W ignore -c 'import soccerkd.all'
	@mkdir -p $(@D) && cd $(@D) && touch package $(subst $(comma), ,$*) $*
