"""The command line as users run it: in its own process, on the synthetic sample case."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from GliomaGradingLib.cli import main
from jsonschema import Draft202012Validator
from product import REPOSITORY, run

sys.path.insert(0, str(REPOSITORY / "Testing" / "unit"))

from small_head import write_case

SCHEMA = json.loads((REPOSITORY / "Resources" / "Schemas" / "result.schema.json").read_text(encoding="utf-8"))


def files_of(folder: Path, suffix: str = ".nii.gz") -> dict[str, Path]:
    return {name: next(folder.glob(f"*_{name}{suffix}")) for name in ("t1", "t2", "flair", "seg")}


def options(files: dict[str, Path], **other: object) -> list[object]:
    given = {"t1": files["t1"], "t2": files["t2"], "flair": files["flair"], "mask": files["seg"], **other}
    return [part for name, value in given.items() if value is not None for part in (f"--{name}", value)]


@pytest.fixture(scope="session")
def small_case(tmp_path_factory) -> Path:
    """A small head, read in a moment."""
    folder = tmp_path_factory.mktemp("small") / "head"
    write_case(folder, {"T1": "a_t1.nii", "T2": "a_t2.nii", "FLAIR": "a_flair.nii", "mask": "a_seg.nii"})
    return folder


@pytest.fixture(scope="session")
def graded(sample_case, tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    output = tmp_path_factory.mktemp("graded") / "out"
    return run("grade", sample_case, "--output", output), output


def test_grade_prints_the_vote_and_the_research_notice(graded):
    done, _ = graded
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert re.match(r"Reliability  Of \d+ test patients with a probability of 0\.\d to ", lines[5])
    assert lines[1].startswith("Grade ") and lines[1].split()[1] in ("LGG", "HGG")
    assert "For research use only" in lines[-1]
    assert [line.split()[0] for line in lines if line[:2] in ("T1", "T2", "FL")] == ["T1", "T2", "FLAIR"]


def test_result_json_is_valid_and_consistent(graded):
    _, output = graded
    assert sorted(path.name for path in output.iterdir()) == ["report.html", "result.json", "slices.png"]
    result = json.loads((output / "result.json").read_text(encoding="utf-8"))
    Draft202012Validator(SCHEMA).validate(result)
    for vote in result["votes"]:
        assert vote["slices_hgg"] == sum(p >= 0.5 for p in vote["slice_probabilities"])
        assert vote["grade"] == ("HGG" if vote["probability_hgg"] >= 0.5 else "LGG")
    agreeing = sum(vote["grade"] == result["grade"] for vote in result["votes"])
    assert result["agreement"] == {"for": agreeing, "of": 3} and agreeing >= 2
    indices = result["slices"]["indices"]
    assert indices == list(range(indices[0], indices[0] + 20))
    assert result["slices"]["largest_index"] in indices


def test_json_prints_the_result_and_nothing_else_and_is_the_same_in_another_process(sample_case, graded):
    _, output = graded
    done = run("grade", sample_case, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    ours, stored = json.loads(done.stdout), json.loads((output / "result.json").read_text(encoding="utf-8"))
    ours.pop("seconds"), stored.pop("seconds")
    assert ours == stored


@pytest.fixture
def told(loaded_once, capfd):
    """What ``grade ... --json`` says, in this process, which has torch already."""

    def grade(*arguments: object) -> dict:
        status = main(["grade", *map(str, arguments), "--json"])
        said = capfd.readouterr()
        assert (status, said.err) == (0, "")
        return json.loads(said.out)

    return grade


def test_four_files_grade_as_the_folder_does(sample_case, graded, told):
    _, output = graded
    result = told(*options(files_of(sample_case)), "--case-id", sample_case.name)
    stored = json.loads((output / "result.json").read_text(encoding="utf-8"))
    assert result["probability_hgg"] == pytest.approx(stored["probability_hgg"], abs=1e-9)


def test_soft_vote_and_mask_labels_are_taken(sample_case, told):
    result = told(sample_case, "--vote", "soft", "--mask-labels", "1,4")
    mean = sum(vote["probability_hgg"] for vote in result["votes"]) / 3
    assert result["grade"] == ("HGG" if mean >= 0.5 else "LGG")


WRONG = {
    "no case": (["grade"], 2, "missing"),
    "no such folder": (["grade", "nowhere"], 2, "nowhere"),
    "no such command": (["grad"], 2, "invalid choice"),
    "no such vote": (["grade", ".", "--vote", "mean"], 2, "majority"),
    "labels": (["grade", ".", "--mask-labels", "one"], 2, "1,2,4"),
    "no such bundle": (["grade", "CASE", "--bundle", "nowhere"], 3, "nowhere"),
    "file and folder": (["grade", "CASE", "--t1", "x.nii"], 2, "x.nii"),
    "cuda": (["grade", "CASE", "--device", "cuda"], 2, "--device cpu"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_command_gets_one_line_and_leaves_nothing(name, small_case, tmp_path):
    arguments, status, text = WRONG[name]
    if name == "cuda":
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("this machine has CUDA")
    arguments = [str(small_case) if a == "CASE" else a for a in arguments]
    if arguments[0] == "grade":
        arguments += ["--output", "out"]
    done = run(*arguments, folder=tmp_path)
    assert done.returncode == status
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1, done.stderr
    assert text in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_truncated_volume_is_named(sample_case, tmp_path):
    case = tmp_path / "case"
    shutil.copytree(sample_case, case)
    broken = files_of(case)["flair"]
    broken.write_bytes(broken.read_bytes()[:5000])
    done = run("grade", case, "--output", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert broken.name in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_sequence_is_named(sample_case, tmp_path):
    case = tmp_path / "case"
    shutil.copytree(sample_case, case)
    files_of(case)["t2"].unlink()
    done = run("grade", case)
    assert done.returncode == 2 and "T2" in done.stderr


def test_an_output_that_cannot_be_written_leaves_nothing(sample_case, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("here already")
    done = run("grade", sample_case, "--output", blocked)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "choose a folder" in done.stderr
    assert blocked.read_text() == "here already"


def test_case_names_with_spaces_and_letters_of_any_script(small_case, tmp_path, told):
    case = tmp_path / "Fall Müller 神経"
    shutil.copytree(small_case, case)
    told(case, "--output", tmp_path / "aus gabe")
    result = json.loads((tmp_path / "aus gabe" / "result.json").read_text(encoding="utf-8"))
    assert result["case"] == "Fall Müller 神経"


def test_swapped_sequences_get_a_warning_and_no_decision(sample_case, told):
    files = files_of(sample_case)
    result = told(*options({**files, "t1": files["t2"], "t2": files["t1"]}))
    codes = [warning["code"] for warning in result["warnings"]]
    assert result["decision"] == "indeterminate"
    assert codes.count("t1-t2-swapped") == 1


def test_models_lists_and_verifies():
    done = run("models", "verify")
    assert done.returncode == 0, done.stderr
    assert "verified" in done.stdout and "sha256" in done.stdout


def test_doctor_finds_everything_here():
    done = run("doctor")
    assert done.returncode == 0, done.stdout
    assert "[ok] torch " in done.stdout and "is whole" in done.stdout


def test_help_and_version_need_no_torch():
    code = (
        "import sys; from GliomaGradingLib.cli import main; status = main(['--help']);"
        "print(sorted({'torch', 'SimpleITK', 'numpy'} & set(sys.modules)), status)"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "GliomaGrading")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.splitlines()[-1] == "[] 0"


def test_letters_that_the_output_has_no_code_for(small_case):
    """JSON is JSON everywhere, and a summary is there with its letters spelled."""
    done = run("grade", small_case, "--case-id", "Müller", "--json", environment={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii() and json.loads(done.stdout)["case"] == "Müller"


@pytest.mark.skipif(os.name != "posix", reason="needs a shell")
def test_without_standard_error_the_result_is_there(small_case):
    command = (
        f"{shlex.quote(sys.executable)} -m GliomaGradingLib grade {shlex.quote(str(small_case))} --json 2>&-"
    )
    done = subprocess.run(
        command,
        shell=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "GliomaGrading")},
        timeout=240,
        check=False,
    )
    assert done.returncode == 0 and json.loads(done.stdout)["case"] == small_case.name


def test_a_demo_that_fails_leaves_no_other_cases_result(tmp_path):
    (tmp_path / "result.json").write_text("of the sample")
    (tmp_path / "panel.png").write_bytes(b"of the sample")
    command = [
        sys.executable,
        "-m",
        "Testing.demo",
        "--output",
        str(tmp_path),
        "--case",
        str(tmp_path / "none"),
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, timeout=240, check=False)
    assert done.returncode == 2 and list(tmp_path.iterdir()) == []
