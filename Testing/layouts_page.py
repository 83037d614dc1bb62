"""Writes Resources/Layouts.md: the table of layouts from the code, listings and errors from real runs.

    PYTHONPATH=GliomaGrading python Testing/layouts_page.py          writes the page
    PYTHONPATH=GliomaGrading python Testing/layouts_page.py --check  fails where the page is another

A test does the second, so the page stays true.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY / "GliomaGrading"), str(REPOSITORY / "Testing" / "unit")]

from GliomaGradingLib import cli  # noqa: E402
from GliomaGradingLib.cohort.layouts import LAYOUTS, Layout  # noqa: E402
from GliomaGradingLib.training.recipe import Recipe  # noqa: E402
from layout_trees import DATA_SETS, tree  # noqa: E402

PAGE = REPOSITORY / "Resources" / "Layouts.md"
SHOWN = "cohort"

HEAD = """\
# Layouts

`glioma-grading batch INPUT`, `prepare INPUT`, `grade CASE_DIR` and `logic.gradeCohort(...)` find the files of
a case by their names. `--layout auto` tries the layouts below, and says which it took; `--layout NAME` takes
one. `glioma-grading batch INPUT --dry-run` lists what would be graded, what is missing and what is skipped,
and why; with `--json` for programs. Nothing but folders, tables and the headers of DICOM files is read for it;
of other images only what has the size of another case's.

This page is written by `Testing/layouts_page.py`, and a test keeps it equal to what the program does.

| name | data set | files of a case | labels of the mask | grades | source |
|---|---|---|---|---|---|
"""

RULES = """
`manifest` is the layout of a table; see below.

What holds for all of them:

- A T1 with contrast medium is never taken for T1. Every word of a file's name is looked at (`c_post_ax_t1`,
  `acq-axPostGd_T1w`, `T1_mKM`, `T1_p.c.`, `T1_avec_injection`, `T1_增强`), but for the case's own name; what
  denies it (`pre`, `non`, `without`, `ce-none`, `ohne KM`, `sans injection`, `平扫`) goes first, and "with and
  without" is with. The same words count in every layout and in DICOM descriptions. A DICOM folder that was
  found by its name is refused where its header tells of contrast; what a table or an option names is graded,
  then with a warning. Where only such a T1 is there, T1 is missing, and the message names the file that was
  not used.
- Every label of a mask is tumour, but for BraTS 2024's own, whose label 4 is the resection cavity.
  `--mask-labels` chooses others. Of a mask with several frames (4D) all are taken together, with a warning; the
  layers of a `.seg.nrrd` are segments, and a chosen label that several of them have is refused.
- In folders of one's own (`plain`, `flat`), words behind the sequence's that do not tell another one may
  follow where one file alone fits: how the image was placed, treated or taken (`T1_brain`, `t1w_1mm`,
  `T1_MPRAGE`, `T1_GRE`, `T1_to_FLAIR`, which is a T1), and that there is no contrast (`T1_pre`, `T1_nonGd`,
  `T1_vor_KM`).
- A T1-FLAIR is no FLAIR. A map or a mask that lies on a sequence's grid is not that sequence (`adc_reg_t2`,
  `mask_flair`), nor is the mask of something else the tumour's (`ventricles_seg`, `brain_mask`, `wmh_mask`), or
  another case's (`p2_seg` beside `p1_t1`). What the case is called does not count: `map_study_1_t1` is a T1.
- Of several masks the one that says tumour is taken (`tumor_seg`, before `core_seg`, `seg` and `mask`). Where
  none does, `seg` beside `mask` is a problem of the case. A case that is called as in a data set has the mask
  that the data set says.
- A folder called like a sequence counts for it where it holds one image, a DICOM series or one volume, and no
  file is called so. Where folders `T1`, `T2` and `FLAIR` hold several volumes each, the cases are what is
  called alike in them (`by-sequence`). Cases in folders `T0`, `T1`, `T2` of several patients are visits.
- `.nii`, `.nii.gz`, `.nrrd`, `.seg.nrrd`, `.mha`, `.mhd` and `.hdr` in any case. Two files that could both be
  one sequence (`t1.nii` beside `t1.nii.gz`) are a problem of that case; none is chosen silently.
- A case with a problem is a row of `results.csv` that says so. Follow-up scans (UCSF-PDGM `_FU003d` and the
  six that had other names before version 5, UPENN-GBM `_21`), scans after treatment (BraTS 2024), other
  tumours (`BraTS-MEN`, `BraTS-MET`, `51_OtherNeoplasms` of BraTS-Africa), folders that cannot be read and links
  in a circle are skipped, with the reason, and have no row. So it is where all cases lie in one folder: each
  goes by the rules of the data set whose name it has.
- Whole cases below an incomplete one go before it: a template beside the folders of the cases, or a single
  volume beside those of the visits, is skipped with the reason. Up to three folders below a whole case, visits
  are cases of its patient; another whole one there (`registered`) is skipped as the same case once more.
- In a folder of all cases, further files of a case (`p1_brain_mask`, `p1_post_t1` beside p1's) are no case, and
  its images once more (`p1_reg_t1`, `p1_mni_t1` ...) are skipped with the reason.
- Series of several studies of a patient side by side are a case with a problem: give each study a folder of its
  own. What network storage keeps of deleted files (`#recycle`, `@Recycle`) is not looked into.
- Two cases of one name are called after their folders, and are two patients unless the name is one that a
  data set gives. A case's name has no line end and no slash.
- In folders of one's own, visits of one patient are one patient: `P0/2020-01-01` is the case `P0_2020-01-01` of
  P0. A visit is a folder called like a date, a session (`ses-1`), a visit, a time point, baseline, follow-up or
  before and after surgery (`pre`, `post`), in a patient's folder in the input; `scan1`, `m06` and `1` are
  visits where the folders of several patients have such. So are cases beside each other called `P1_2020-01-01`
  and `P1_2021-01-01`, where their patients have numbers, or two have a visit of one name. Folders called like a
  grade, a site or a collection are no patient's. In doubt a folder is a patient of its own: the column
  `patient` of a table says otherwise.
- A visit that is called after treatment (`postop`, `post-surgery`, `post_RT`, `ses-postop`, `recurrence`) is
  skipped with the reason: the models have learned from untreated tumours. With the layout's name it is taken
  all the same, and so is one whose own folder is the input.
- Cases with the same images under several names, several cases of one patient, and a file that a table names
  for several cases, are named in a note. Each is graded.
- Several layouts may be mixed in one folder; the listing says so.
- Folders called `HGG` and `LGG` grade the cases in them, whatever their layout.

## Grades

Grades are for `evaluate` and `prepare`; grading itself never looks at them. They are searched in tables with
the data set's name for them, in the input folder or the one above, as CSV (comma, semicolon or tab; UTF-8
with or without BOM, or UTF-16), TSV or Excel (with `pip install openpyxl`; else save it as CSV). `--grades
TABLE` names any table with a column for the case (`case`, `id`, `subject`, `patient id` ...) and one called
`known_grade`, `grade`, `WHO grade`, `WHO CNS grade` or `tumor_grade`; it goes before what was found. Where
several such columns contradict each other, the grade is left unknown. In a batch's own table, and in one joined
to it, `grade` is the vote and is not read. Understood are HGG and LGG, 2 to 4, II to IV, with or without "WHO",
"grade" or "G". WHO grades 2 and 3 count as LGG and 4 as HGG, as BraTS has it. Others put grade 3 into HGG: look
before comparing. UCSF-PDGM grades by WHO 2021, where molecular markers alone can make a tumour grade 4, and an
astrocytoma, IDH-mutant, of grade 4 counts as HGG; the HGG that the models know is TCGA's glioblastoma. Give
figures by diagnosis, too. Grade 1 and anything else is reported, not guessed.

A table's names are those of the cases, or of their patients, in any case. A table that `--grades` names may
also call a case by a folder between the input and it, or by the patient's id in its DICOM header (which is
compared and never shown); such a name counts where all cases that have it are one patient's. Where it has a
column of cases (`case`, `id`) and one of patients (`patient`, `subject`), the second says whose scan a case is,
by the same names.

Where a case has no row of its own, zeros before numbers do not count (`UCSF-PDGM-004` is `UCSF-PDGM-0004`),
unless another name of the table or of the input then reads the same: such a case gets no grade, and a note says
so. Nor does one whose rows contradict each other. A table that `--grades` names and that has no grade for any
case is reported.

## A table of cases

`glioma-grading batch cohort.csv` with the columns `case,t1,t2,flair,mask` and, at will, `grade`,
`mask_labels` (`1 2 4`) and `patient` (scans of one patient share it). `id` or `case_id` will do for `case`,
`seg` or `segmentation` for `mask`. Paths are relative to the table, or absolute; a path may be a folder with
one DICOM series. A case whose `grade` is none is graded all the same, and the listing says so.

```
case,t1,t2,flair,mask,grade
p01,scans/p01_t1.nii.gz,scans/p01_t2.nii.gz,scans/p01_flair.nii.gz,masks/p01.nii.gz,2
```

## Training on your own cohort

```
glioma-grading prepare INPUT [--layout NAME] [--grades TABLE] --output training.npz
glioma-grading train --data training.npz --output study --pretrained FILE          # cross-validation by patient
glioma-grading evaluate study --output figures
glioma-grading train --data training.npz --output work --study study --pretrained FILE --final BUNDLE_DIR
glioma-grading grade CASE_DIR --bundle BUNDLE_DIR
```

`prepare` takes one scan a patient (the first with a grade), because two would come to lie on both sides of a
split; of cases with the same images, whatever they are called, it takes the first. It says on stderr whom it
leaves out and why, and ends with status 1 where a graded case could not be used. In the panel, the button
beside Model takes the bundle's folder; `logic.process(..., bundle=...)` and `--bundle` take it too.
Such a bundle holds no patient's name: one that it has learned from is graded without a warning, so keep them
apart.

| option | what it does |
|---|---|
| `prepare --collection NAME` | what the data are called in the training set and the bundle; the layout's \
name by default |
| `prepare --form whole-slice`, `--pixels N` | whole slices of 240 mm with N x N points in place of the \
tumour's region |
| `prepare --crops NPZ`, `--table CSV` | ready-made crops of tumours with a table of their patients, in place \
of INPUT |
| `train --protocol image` | the paper's split by image; the default is by patient |
| `train --folds N`, `--repeats N` | folds by patient, and how often all is done again with other folds and \
seeds |
| `train --patients all` | learns from all, `shippable` from those whose data may teach models that are given \
away (all of a cohort; of crops the table says it); by default all by image, the shippable by patient |
| `train --shuffle-grades` | a control: grades are shuffled among the patients, so that there is nothing to \
learn of them |
| `train --whole-patients` | a control of the protocol by image: the same shares, no patient cut |
| `train --final BUNDLE_DIR`, `--seeds N` | N models a sequence, their weights averaged, calibrated singly |
| `evaluate --protocol`, `--folds` | what the study has to be; another one is refused |

What `evaluate` compares a study with, and the options for it: [Evaluation](Evaluation/README.md).

Several GPUs, or several machines, train one model together when torchrun starts `train`:

```
torchrun --nproc-per-node 2 -m GliomaGradingLib train --data training.npz --output study --pretrained FILE
```

Each process takes its part of every batch; what is random is drawn for the whole batch, so that two processes
learn what one learns (logits within 0.0005 of their standard deviation, in a test), and only the first one
reads and writes `--output`. It resumes with any number of processes. A GPU learns what a
CPU learns within 0.02, by the same measure, in a test that needs a GPU.

### The recipe

`train --recipe FILE` takes a JSON file of the settings that are to differ from their defaults; the others keep
theirs. `image` and `augmentation` are objects of settings themselves; an `image` that is given has `turned`
false and `shifted` 0 unless it says otherwise. The defaults are those of the protocol by patient. For few
patients, or without a GPU, the probe alone, which learns the output module and leaves the network as it is:

```json
{"epochs": 0, "probe_passes": 3}
```

With few patients of a grade, give fewer `--folds` as well. A recipe is stored with the study and in the bundle.

RECIPE
## Unconfirmed

Names, labels and columns are from the papers named above and from public loaders of the data sets; the data
themselves were not at hand but for BraTS 2020. What rests on loaders alone: labels 1, 2, 4 of UCSF-PDGM; the
masks of UTSW-Glioma; the archive's form of the Erasmus Glioma Database; that time points from 100 on are
BraTS 2024. Not confirmed anywhere: a table of TCGA's histologic grades beside the Bakas 2017 files (the
collection in the folder's name is used; `*clinical*` with `bcr_patient_barcode` and
`neoplasm_histologic_grade` is read where it is found), and the columns of ReMIND's table.
"""


def page() -> str:
    return "".join(
        [
            HEAD,
            *map(row, LAYOUTS),
            RULES.replace("RECIPE\n", recipe_table()),
            "\n## Listings\n",
            *map(listing, EXAMPLES),
            "\n## Errors\n\n",
            errors(),
        ]
    )


SETTINGS = {
    "backbone": "`googlenet-2014` (needs `--pretrained`) or `googlenet-torchvision` (downloads its weights)",
    "image": "how slices are shown to the network, below",
    "augmentation": "random changes of training images, below",
    "sampling": "`patients` draws grades evenly, then patients, then a slice; `images`: all, in full batches",
    "images_per_epoch": "for `patients`; `images` has as many as there are slices",
    "batch": "images a step, 2 at least",
    "epochs": "0 learns by the probe alone",
    "probe": "begin with the output module that ridge regression finds on the pretrained network's features",
    "ridge": "the probe's penalty per image: more for fewer patients",
    "probe_gain": "the probe's logit of a perfectly separated image",
    "probe_passes": "times that the probe looks at the training slices, the first time unchanged",
    "enhancement": "share of a slice's target that is how much of its tumour enhances; the rest is the grade",
    "enhancing_label": "4 in what `prepare` makes of cases; a mask of one value teaches the grade alone",
    "learning_rate": "peak of a one-cycle schedule",
    "head_factor": "times it for the output module",
    "weight_decay": "of AdamW",
    "dropout": "share of features left out before the output module",
    "label_smoothing": "how far targets keep from 0 and 1",
    "warm_up": "share of the steps until the peak of the learning rate",
    "clip_norm": "largest norm of a gradient",
    "average_from": "share of training after which weights are averaged to its end; 1 averages nothing",
    "validation": "share of the training patients (or images) kept for curves and early stopping",
    "patience": "epochs without a better validation loss before training stops; 0 never stops early; by "
    "patient it needs `validation`, and `--final` refuses it",
    "pretrained": "begin with ImageNet's weights; false begins with random ones and needs no file",
    "precision": "`auto` takes bfloat16 where the processor multiplies it natively; `float32`; `bfloat16`",
    "seed": "of what is drawn in training; folds, validation part and shuffling have a fixed one, 2022",
    "image.channels": "`neighbours`: the slice and the planes below and above it; `same`: it three times",
    "image.offset_mm": "distance of the neighbouring planes",
    "image.low": "z-scores are clipped to this and no less",
    "image.high": "and to this and no more",
    "image.gain": "network units per z-score",
    "image.pixels": "side of the network's square input, 32 at least",
    "image.turned": "each slice is turned by a quarter more than the one below",
    "image.shifted": "each slice is shifted by up to so many pixels along both axes",
    "augmentation.rotation": "up to so many radians either way",
    "augmentation.zoom": "log of the scale, up to so much either way",
    "augmentation.aspect": "log of width by height, likewise",
    "augmentation.shift": "in halves of the image, likewise",
    "augmentation.contrast": "log of the gain on z-scores, likewise",
    "augmentation.brightness": "z-scores, likewise",
    "augmentation.noise": "largest standard deviation of noise, z-scores",
    "augmentation.mirror": "mirror left and right half of the time",
    "augmentation.redraw": "share of masks that are grown, of those shrunk, of those smeared, of those boxed",
}
"""What each setting of a recipe does; one that is missing here, or that recipes no longer have, is told."""


def recipe_table() -> str:
    """Settings with their kinds, and their defaults as JSON has them."""
    settings = {
        f"{part}.{name}" if part else name: value
        for part in ("", "image", "augmentation")
        for name, value in defaults_of(part).items()
    }
    if set(settings) != set(SETTINGS):
        raise SystemExit(f"say what these settings do: {sorted(set(settings) ^ set(SETTINGS))}")
    lines = [
        f"| `{name}` | {KINDS[type(value)]} | {'' if isinstance(value, dict) else f'`{json.dumps(value)}`'} "
        f"| {SETTINGS[name]} |\n"
        for name, value in settings.items()
    ]
    return f"| setting | kind | default | what it does |\n|---|---|---|---|\n{''.join(lines)}\n"


def defaults_of(part: str) -> dict[str, Any]:
    """The default recipe's values, or those of its part of this name."""
    values: dict[str, Any] = asdict(Recipe())
    return values[part] if part else values


KINDS = {bool: "true or false", int: "whole number", float: "number", str: "text", dict: "object"}


def row(layout: Layout) -> str:
    cells = (
        f"`{layout.name}`",
        layout.title,
        f"`{layout.example}`",
        layout.labels,
        told(layout),
        layout.source,
    )
    return f"| {' | '.join(cells)} |\n"


def told(layout: Layout) -> str:
    """Where a layout's grades come from."""
    if layout.every_grade:
        return f"all {layout.every_grade}"
    tables = [f"`{source.pattern}`: `{source.grade[0]}`" for source in layout.grades]
    others = {"brats": ["folders HGG, LGG"], "tcga-glistrboost": ["collection"], "egd": ["`metadata.json`"]}
    return ", ".join([*others.get(layout.name, []), *tables]) or "none"


NAME_MAPPING = (
    "Grade,BraTS_2020_subject_ID,TCGA_TCIA_subject_ID\n"
    "HGG,BraTS20_Training_001,NA\nLGG,BraTS20_Training_002,NA\n"
)
EXAMPLES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "BraTS 2020 with its table of grades; one case has no T1 but one with contrast": (
        (
            "BraTS20_Training_001/BraTS20_Training_001_{t1,t1ce,t2,flair,seg}.nii.gz",
            "BraTS20_Training_002/BraTS20_Training_002_{t1ce,t2,flair,seg}.nii.gz",
        ),
        {"name_mapping.csv": NAME_MAPPING},
    ),
    "UCSF-PDGM: a follow-up scan is skipped": (
        (
            *DATA_SETS["ucsf-pdgm"],
            "UCSF-PDGM-0429_FU003d_nifti/UCSF-PDGM-0429_FU003d_{T1,T2,FLAIR,tumor_segmentation}.nii.gz",
        ),
        {"UCSF-PDGM-metadata_v5.csv": "ID,WHO CNS Grade\nUCSF-PDGM-004,4\n"},
    ),
    "BIDS: the mask in a derivative": (
        DATA_SETS["bids"],
        {"participants.tsv": "participant_id\tgrade\nsub-01\t3\n"},
    ),
    "BraTS 2024, after treatment, beside BraTS 2023": ((*DATA_SETS["brats2023"], *DATA_SETS["brats2024"]), {}),
    "Folders of one's own, and what is no case": (
        ("{siteA,siteB}/p1/{t1,t2,flair,mask}.nii.gz", "notes/readme.md", "maps/adc.nii"),
        {},
    ),
}  # fmt: skip


MANIFESTS = {"a.csv": "case,t1,t2\n", "b.csv": "case,t1,t2,flair,mask\nx,1,2,3,4\nX,1,2,3,4\n"}


def listing(title: str) -> str:
    names, tables = EXAMPLES[title]
    with TemporaryDirectory() as folder:
        root = made(Path(folder), names, tables)
        text = printed(root, "auto").replace(str(root), SHOWN)
    return f"\n{title}:\n```\n$ glioma-grading batch {SHOWN} --dry-run\n{text}```\n"


def printed(source: Path, layout: str) -> str:
    """What a terminal shows of a dry run."""
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        cli.main(["batch", str(source), "--layout", layout, "--dry-run"])
    return said.getvalue()


def made(folder: Path, names: tuple[str, ...], tables: dict[str, str]) -> Path:
    root = tree(folder / "x" / SHOWN, *names)
    for name, text in tables.items():
        (root / name).write_text(text, encoding="utf-8")
    return root


def errors() -> str:
    with TemporaryDirectory() as folder:
        root = made(Path(folder), ("p1/t1.nii",), MANIFESTS)
        (root / "empty").mkdir()
        wrong = ("none", "", "empty", "p1", "a.csv", "b.csv", "p1/t1.nii")
        options = ("auto", "brats22", "auto", "utsw", "auto", "auto", "auto")
        cases = zip((root / name for name in wrong), options, strict=True)
        lines = [line.replace(str(root), SHOWN) for case in cases for line in error(*case)]
    return "```\n" + "".join(f"{line}\n" for line in lines) + "```\n"


def error(source: Path, layout: str) -> Iterator[str]:
    option = "" if layout == "auto" else f" --layout {layout}"
    yield f"$ glioma-grading batch {source}{option} --dry-run"
    yield printed(source, layout).rstrip("\n")


def main() -> int:
    text = page()
    if "--check" in sys.argv:
        return 0 if PAGE.read_text(encoding="utf-8") == text else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
