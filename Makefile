# Each command works on a fresh clone: it makes .venv, installs the exact versions of constraints.txt, and runs.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/installed
NOTEBOOKS = $(shell find nbs -name "*.ipynb" -not -path "*/.*" | sort)

.PHONY: demo test quick lab firmware bench docs readme export outputs pictures licenses check clean

demo: $(INSTALLED)
	$(BIN)/kws-nb demo

test: $(INSTALLED)
	bash tests/system_packages.sh
	$(BIN)/python -m pytest

# While working: the tests that need neither browser, notebooks nor TensorFlow, in less than two minutes.
quick: $(INSTALLED)
	$(BIN)/python -m pytest --quick

lab: $(INSTALLED)
	$(BIN)/jupyter lab --notebook-dir=nbs $(if $(filter 0,$(shell id -u)),--allow-root)

firmware: $(INSTALLED)
	$(BIN)/python -c "from kws_nb.board import build_firmware; print(build_firmware())"

bench: $(INSTALLED)
	$(BIN)/kws-nb bench

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

# What the requirements bring, and under which licences.
licenses: $(INSTALLED)
	$(BIN)/python tools/licenses.py

check: $(INSTALLED)
	$(BIN)/ruff check .

$(INSTALLED): constraints.txt settings.ini setup.py pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "Python 3.11 is needed; $(PYTHON) is another version. Name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv || { rm -rf .venv; echo "Python has no venv module. On Debian: apt-get install python3.11-venv"; exit 1; }
	$(BIN)/pip install --disable-pip-version-check --progress-bar on --constraint constraints.txt setuptools wheel
	$(BIN)/pip install --disable-pip-version-check --progress-bar on --constraint constraints.txt --no-build-isolation --editable '.[firmware,convert,dev]'
	@if [ -d .git ]; then git config core.hooksPath .githooks && git config merge.nbdev-merge.driver '$(BIN)/nbdev_merge %O %A %B %P'; fi
	@touch $@

clean:
	rm -rf build _docs _proc
