# Each command works on a fresh clone: it makes .venv, installs exact versions (constraints-3.NN.txt), and runs.
# Python: python3 where that is 3.11 to 3.13, else the newest of these that answers; or name one: make PYTHON=python3.12
VERSION = import sys; v = sys.version_info[:2]; print("%d.%d" % v) if (3, 11) <= v <= (3, 13) else sys.exit(1)
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,$(shell $(python) -c '$(VERSION)' >/dev/null 2>&1 && echo $(python))))
BIN := .venv/bin
INSTALLED := .venv/installed
NOTEBOOKS = $(shell find nbs -name "*.ipynb" -not -path "*/.*" | sort)

.PHONY: demo test quick lab firmware bench docs readme export outputs pictures licenses check clean

demo: $(INSTALLED)
	$(BIN)/kws-nb demo

# Tests run on two cores, each file on one.
TOGETHER := --numprocesses 2 --dist loadfile

test: $(INSTALLED)
	bash tests/system_packages.sh
	$(BIN)/python -m pytest $(TOGETHER)

# While working: the tests that need neither browser, notebooks nor TensorFlow, in less than two minutes.
quick: $(INSTALLED)
	$(BIN)/python -m pytest --quick $(TOGETHER)

lab: $(INSTALLED)
	$(BIN)/jupyter lab --notebook-dir=nbs $(if $(filter 0,$(shell id -u)),--allow-root)

firmware: $(INSTALLED)
	$(BIN)/python -c "from kws_nb.board import build_firmware; print(build_firmware())"

bench: $(INSTALLED)
	$(BIN)/kws-nb bench
	$(BIN)/python tools/explorer_moves.py

docs: $(INSTALLED)
	$(BIN)/python tools/docs.py site

readme: $(INSTALLED)
	$(BIN)/python tools/docs.py readme

export: $(INSTALLED)
	$(BIN)/nbdev_export
	$(BIN)/nbdev_clean
	$(BIN)/kws-nb headers

# Figures are stored as plotly's data, for JupyterLab, and as pictures, for the rendered pages; widgets as their pictures.
outputs: $(INSTALLED)
	KWS_NB_STATIC=1 TQDM_DISABLE=1 PLOTLY_RENDERER=plotly_mimetype+png $(BIN)/jupyter nbconvert --to notebook --execute --ExecutePreprocessor.store_widget_state=False --inplace $(or $(NOTEBOOK),$(NOTEBOOKS))
	$(BIN)/python tools/shrink.py $(or $(NOTEBOOK),$(NOTEBOOKS))
	$(BIN)/nbdev_clean

# Each widget, photographed in a browser.
pictures: $(INSTALLED)
	$(BIN)/python tools/screenshots.py

# What the requirements bring, and under which licences; with Python 3.11, whose packages the list names.
licenses: $(INSTALLED)
	$(BIN)/python tools/licenses.py

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy

ifneq ($(filter command line environment,$(origin PYTHON)),)
ifneq ($(MAKECMDGOALS),clean)
NAMED := $(shell $(PYTHON) -c '$(VERSION)' 2>/dev/null)
ifneq ($(wildcard $(BIN)/python),)
ifneq ($(filter-out $(shell $(BIN)/python -c '$(VERSION)' 2>/dev/null),$(NAMED)),)
$(error .venv is of another Python than $(PYTHON). Remove it first: rm -r .venv)
endif
endif
endif
endif

INSTALL = $(BIN)/pip install --disable-pip-version-check --progress-bar on --constraint constraints-$$($(BIN)/python -c '$(VERSION)').txt

# onnx-tf asks for a package that no current TensorFlow has and that it does not need here.
$(INSTALLED): $(wildcard constraints-*.txt) settings.ini setup.py pyproject.toml
	@$(or $(PYTHON),false) -c '$(VERSION)' >/dev/null || { echo "Python 3.11, 3.12 or 3.13 is needed$(if $(PYTHON),; $(PYTHON) is another version). Name one: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || { rm -rf .venv; echo "Python has no venv module. On Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -c '$(VERSION)' >/dev/null || { echo ".venv is of another Python than 3.11, 3.12 or 3.13. Remove it first: rm -r .venv"; exit 1; }
	$(INSTALL) setuptools wheel
	$(INSTALL) --no-build-isolation --editable '.[all,dev]'
	$(INSTALL) --no-deps onnx-tf
	@if [ -d .git ]; then git config core.hooksPath .githooks && git config merge.nbdev-merge.driver '$(BIN)/nbdev_merge %O %A %B %P'; fi
	@touch $@

clean:
	rm -rf build _docs _proc
