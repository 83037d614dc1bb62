# Everything a fresh machine needs: `make demo` and `make test` make their own .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CASE ?=
PROTOCOL ?= patient
SHARED ?= ../shared/data
BUILD := build

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE := 1

.PHONY: demo test lint bench robust fuzz screenshots slicer data train evaluate clean help

help:
	@grep -E '^## ' Makefile | sed 's/^## //'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Two stamps, so that the demo does not wait for what only the tests need.
$(VENV)/.product: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[host]"
	touch $@

$(VENV)/.development: pyproject.toml | $(VENV)/.product
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@

# The embedded Slicer draws off screen with EGL. Where it is missing, root on Debian or Ubuntu gets it here; others
# are told, and everything that draws is skipped and says so.
.PHONY: graphics
graphics:
	@ldconfig -p 2>/dev/null | grep -q libEGL.so.1 || [ "$$(uname)" != Linux ] || { \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y libegl1 libgl1 >/dev/null; } || \
	  echo "EGL is missing, so that no panel is drawn: sudo apt-get install libegl1 libgl1"; }

## demo         grade the sample case, or CASE=folder, into build/demo
demo: $(VENV)/.product graphics
	$(BIN)/python -m Testing.demo --output $(BUILD)/demo $(if $(CASE),--case "$(CASE)")

## test         run every test
test: $(VENV)/.development graphics
	$(BIN)/python -m pytest

## lint         style and types
lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## bench        benchmark tables into Resources/Benchmarks (real patients in SHARED)
bench: $(VENV)/.development
	$(BIN)/python Testing/benchmarks/input_invariance.py --cases $(SHARED)/cases --crops $(SHARED)
	$(BIN)/python Testing/benchmarks/unlike_cases.py --cases $(SHARED)/cases
	$(BIN)/python Testing/benchmarks/saliency_checks.py --data $(BUILD)/data/tumour-region.npz
	$(BIN)/python -m Testing.benchmarks --shared $(SHARED) --data $(BUILD)/data/tumour-region.npz
	$(BIN)/python -m Testing.evidence

## robust       the table of bad inputs and 500 gradings with random cancels, into Resources/Robustness.md
robust: $(VENV)/.development
	$(BIN)/python -m Testing.robustness.report
	$(BIN)/python -m Testing.robustness.soak --gradings 500

## fuzz         forty minutes of fuzzing the readers, the worker's protocol, bundles and weights
fuzz: $(VENV)/.development
	$(BIN)/python -m pip install --quiet --editable ".[fuzz]"
	for target in readers protocol bundle weights; do $(BIN)/python -m Testing.fuzz $$target --seconds 600; done

## screenshots  the README's pictures, from the demo
screenshots: demo
	mkdir -p Resources/Screenshots
	cp $(BUILD)/demo/slices.png Resources/Screenshots/slices.png
	if [ -f $(BUILD)/demo/panel.png ]; then cp $(BUILD)/demo/panel.png Resources/Screenshots/panel.png; fi

## slicer       the module in the embedded Slicer, in a real window
slicer: $(VENV)/.product graphics
	$(BIN)/python -m Testing.host show GliomaGrading/GliomaGrading.py

## data         training data of real patients, from SHARED
data: $(BUILD)/data/tumour-region.npz
$(BUILD)/data/tumour-region.npz: | $(VENV)/.development
	$(BIN)/glioma-grading prepare --crops $(SHARED)/tumour_crops.npz --table $(SHARED)/tumour_crops.csv --output $@

## train        the three models of every split of PROTOCOL (patient or image); resumes
train: data
	$(BIN)/glioma-grading train --data $(BUILD)/data/tumour-region.npz --protocol $(PROTOCOL) \
	  --pretrained $(SHARED)/bvlc_googlenet.pt --output $(BUILD)/train/$(PROTOCOL) --resume

## evaluate     figures and plots of PROTOCOL into Resources/Evaluation
evaluate: train
	$(BIN)/glioma-grading evaluate $(BUILD)/train/$(PROTOCOL) --output Resources/Evaluation/$(PROTOCOL)

## bundle       the models that ship: all shippable patients, calibrated on the patient protocol
bundle: data
	$(BIN)/glioma-grading train --data $(BUILD)/data/tumour-region.npz --pretrained $(SHARED)/bvlc_googlenet.pt \
	  --output $(BUILD)/train/final --final GliomaGrading/Resources/Models/glioma-tcga \
	  --study $(BUILD)/train/patient --resume

clean:
	rm -rf $(BUILD)
