# Everything a fresh machine needs: `make demo` and `make test` make their own .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CASE ?=
PROTOCOL ?= patient
SHARED ?= ../shared/data
JOBS ?= 2
BATCH_CASES ?= 1000
BUILD := build
PREPARED := $(BUILD)/data/tumour-region.npz
REPEATS := $(if $(filter patient,$(PROTOCOL)),3,1)
TRAIN = $(BIN)/glioma-grading train --data $(PREPARED) --pretrained $(SHARED)/bvlc_googlenet.pt \
  --protocol $(PROTOCOL) --repeats $(REPEATS) --resume --output $(BUILD)/train/
EVALUATE = $(BIN)/glioma-grading evaluate

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-slicer test-minimum lint audit bench gandlf robust coverage mutants fuzz screenshots slicer data train \
  evaluate clean help

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

## test         run every test, JOBS=2 at a time
test: $(VENV)/.development graphics
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal

## test-slicer  the module's tests with the Python modules of SLICER_SOURCE, a checkout of Slicer, in place of ours
SLICER_SOURCE ?=
test-slicer: $(VENV)/.development graphics
	@test -n "$(SLICER_SOURCE)" || { echo "name a checkout: make test-slicer SLICER_SOURCE=../Slicer" >&2; exit 2; }
	OMP_NUM_THREADS=1 SLICER_SOURCE="$(abspath $(SLICER_SOURCE))" \
	  $(BIN)/python -m pytest Testing/module --numprocesses $(JOBS) --dist worksteal

## test-minimum the tests with the oldest versions that are supported, in an environment of their own
MINIMUM := $(BUILD)/minimum
$(MINIMUM)/.installed: pyproject.toml Testing/minimum-versions.txt
	mkdir -p $(BUILD)
	$(PYTHON) -m venv $(MINIMUM)
	$(MINIMUM)/bin/python -m pip install --quiet --editable ".[dev]" --constraint Testing/minimum-versions.txt
	touch $@

test-minimum: $(MINIMUM)/.installed graphics
	OMP_NUM_THREADS=1 $(MINIMUM)/bin/python -m pytest --numprocesses $(JOBS) --dist worksteal

## coverage     the tests once more, with the branches that they take
coverage: $(VENV)/.development graphics
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal --cov --cov-report=term

## audit        the bill of materials (build/sbom.json), and known vulnerabilities of what it lists
audit: $(VENV)/.development
	$(BIN)/python -m pip install --quiet --editable ".[audit]"
	$(BIN)/python -m Testing.supply_chain sbom
	$(BIN)/python -m Testing.supply_chain audit

## lint         style and types
lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## bench        benchmark tables into Resources/Benchmarks (real patients in SHARED)
bench: data
	$(BIN)/python -m pip install --quiet --editable ".[bench]"
	$(BIN)/python Testing/benchmarks/input_invariance.py --cases $(SHARED)/cases --crops $(SHARED)
	$(BIN)/python Testing/benchmarks/input_invariance.py --cases $(SHARED)/cases --crops $(SHARED) \
	  --held-out $(PREPARED) $(SHARED)/bvlc_googlenet.pt
	$(BIN)/python Testing/benchmarks/unlike_cases.py --cases $(SHARED)/cases
	$(BIN)/python Testing/benchmarks/saliency_checks.py --data $(SHARED)
	$(BIN)/python -m Testing.benchmarks --shared $(SHARED) --data $(PREPARED)
	$(BIN)/python Testing/benchmarks/batch.py --cases $(BATCH_CASES) --real $(SHARED)/cases --publish
	$(BIN)/python -m Testing.evidence

## gandlf       GaNDLF, a peer of the benchmarks, in an environment of its own: it pins what it needs
gandlf: $(BUILD)/gandlf/.installed
$(BUILD)/gandlf/.installed:
	mkdir -p $(BUILD)
	$(PYTHON) -m venv $(BUILD)/gandlf
	$(BUILD)/gandlf/bin/python -m pip install --quiet "GANDLF==0.1.5"
	touch $@

## robust       the table of bad inputs and 500 gradings with random cancels, into Resources/Robustness.md
robust: $(VENV)/.development
	$(BIN)/python -m Testing.robustness.report
	$(BIN)/python -m Testing.robustness.soak --gradings 500

## mutants      small errors put into the code one by one: which do the tests notice?
mutants: $(VENV)/.development
	$(BIN)/python -m Testing.robustness.mutants voting result familiarity calibration slices --sample 60 --seed 1

## fuzz         forty minutes of fuzzing the readers, the worker's protocol, bundles and weights
fuzz: $(VENV)/.development
	$(BIN)/python -m pip install --quiet --editable ".[fuzz]"
	for target in readers protocol bundle weights; do $(BIN)/python -m Testing.fuzz $$target --seconds 600; done

## screenshots  the pages' pictures: the real module in the embedded Slicer, and a batch's page (needs a browser)
SHOT = $(BIN)/python -m Testing.panel_picture $(BUILD)/demo/synthetic-hgg Resources/Screenshots
screenshots: demo
	mkdir -p Resources/Screenshots
	cp $(BUILD)/demo/panel.png Resources/Screenshots/panel.png
	for state in before during error indeterminate maps; do $(SHOT)/$$state.png --state $$state || exit 1; done
	$(SHOT)/narrow.png --width 320
	$(SHOT)/dark.png --state sides --colors dark
	$(BIN)/python -m Testing.cohort_picture Resources/Screenshots/cohort.png
	$(BIN)/python -m Testing.smaller Resources/Screenshots/*.png

## slicer       the module in the embedded Slicer, in a real window
slicer: $(VENV)/.product graphics
	$(BIN)/python -m Testing.host show GliomaGrading/GliomaGrading.py

## data         training data of real patients, from SHARED
data: $(PREPARED)
$(PREPARED): | $(VENV)/.development
	$(BIN)/glioma-grading prepare --crops $(SHARED)/tumour_crops.npz --table $(SHARED)/tumour_crops.csv --output $@

## train        the three models under PROTOCOL=patient (3 repeats) or image (with its three controls); resumes
train: data
	$(TRAIN)$(PROTOCOL)
ifeq ($(PROTOCOL),image)
	$(TRAIN)image-whole --whole-patients
	$(TRAIN)image-shuffled --shuffle-grades
	$(TRAIN)image-whole-shuffled --whole-patients --shuffle-grades
endif

## evaluate     figures, tables and plots of PROTOCOL into Resources/Evaluation
evaluate: train
	$(EVALUATE) $(BUILD)/train/$(PROTOCOL) --output Resources/Evaluation/$(PROTOCOL)
ifeq ($(PROTOCOL),image)
	for cell in image-whole image-shuffled image-whole-shuffled; do \
	  $(EVALUATE) $(BUILD)/train/$$cell --output Resources/Evaluation/$$cell || exit 1; done
	$(EVALUATE) Resources/Evaluation --protocols --output Resources/Evaluation/protocols
else
	echo '{"image": {}, "pretrained": false, "probe": false, "enhancement": 0, "epochs": 4, "learning_rate": 0.0005, "augmentation": {"rotation": 0.4,' \
	  '"zoom": 0.18, "aspect": 0.08, "shift": 0.15, "contrast": 0.25, "brightness": 0.3}}' > $(BUILD)/train/scratch.json
	$(BIN)/glioma-grading train --data $(PREPARED) --recipe $(BUILD)/train/scratch.json \
	  --output $(BUILD)/train/scratch --resume
	$(EVALUATE) $(BUILD)/train/patient --baselines --data $(PREPARED) --scratch $(BUILD)/train/scratch \
	  --pretrained $(SHARED)/bvlc_googlenet.pt --output Resources/Evaluation/baselines
	$(EVALUATE) $(BUILD)/train/patient --subgroups --table $(SHARED)/tumour_crops.csv \
	  --output Resources/Evaluation/subgroups
	$(TRAIN)patient-10 --folds 10
	$(EVALUATE) $(BUILD)/train/patient --learning $(BUILD)/train/patient-10 \
	  --output Resources/Evaluation/learning
	$(EVALUATE) --external --data $(PREPARED) --output Resources/Evaluation/external
	$(EVALUATE) --ablation --data $(PREPARED) --pretrained $(SHARED)/bvlc_googlenet.pt --output Resources/Evaluation
endif
	$(BIN)/python -m Testing.evidence

## bundle       the models that ship: all shippable patients, calibrated on the patient protocol
bundle: data
	$(BIN)/glioma-grading train --data $(PREPARED) --pretrained $(SHARED)/bvlc_googlenet.pt \
	  --output $(BUILD)/train/final --final GliomaGrading/Resources/Models/glioma-tcga \
	  --study $(BUILD)/train/patient --resume

clean:
	rm -rf $(BUILD)
