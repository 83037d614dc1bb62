"""Real models: the module's own test, the same probability as the command line, the batch from the console."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from grading_module import MODULE_FILE


@pytest.fixture
def graded(host, monkeypatch):
    """Grades a case folder with the module's logic; everything on one thread, as a shared machine likes it."""
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "2"))
    module = host.load(MODULE_FILE, enter=True)

    def grade(folder: Path, as_labelmap=False):
        import slicer
        from GliomaGradingLib.case_files import find_case_files

        paths = {name: str(path) for name, path in find_case_files(folder).paths.items()}
        volumes = [slicer.util.loadVolume(paths[name]) for name in ("T1", "T2", "FLAIR")]
        load = slicer.util.loadLabelVolume if as_labelmap else slicer.util.loadSegmentation
        return module.logic.process(*volumes, load(paths["mask"]))

    return grade


def command_line(folder: Path) -> dict:
    """In a process of its own: torch beside Slicer's libraries crashes, so the module has a worker."""
    done = subprocess.run(
        [sys.executable, "-m", "GliomaGradingLib", "grade", str(folder), "--json"],
        cwd=MODULE_FILE.parent,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return json.loads(done.stdout)


def assert_same(result, expected):
    assert result.grade == expected["grade"] and result.decision == expected["decision"]
    assert result.probability_hgg == pytest.approx(expected["probability_hgg"], abs=1e-6)
    assert [vote.probability_hgg for vote in result.votes] == pytest.approx(
        [vote["probability_hgg"] for vote in expected["votes"]], abs=1e-6
    )
    assert list(result.slices.positions_mm) == pytest.approx(expected["slices"]["positions_mm"], abs=1e-3)
    assert result.tumour_ml == pytest.approx(expected["tumour"]["volume_ml"], abs=1e-3)


def test_sample_is_graded_as_on_the_command_line(graded, sample_case, host):
    result = graded(sample_case)
    assert_same(result, command_line(sample_case))
    host.close_scene()
    as_labelmap = graded(sample_case, as_labelmap=True)
    assert as_labelmap.probability_hgg == pytest.approx(result.probability_hgg, abs=1e-6)


def test_real_cases_of_both_grades_are_graded_as_on_the_command_line(graded, real_cases, host):
    for folder in (real_cases[0], real_cases[-1]):
        host.close_scene()
        assert_same(graded(folder), command_line(folder))


@pytest.fixture
def made_sample(sample_case, monkeypatch):
    """The module finds the sample made."""
    from GliomaGradingLib.scene import sample_data

    monkeypatch.setattr(sample_data, "sample_folder", lambda preset: sample_case)


def test_module_tests_itself(host, made_sample):
    module = host.load(MODULE_FILE, enter=True)
    host.self_test(module)


def test_module_tests_itself_as_cmake_runs_it(host, fake_worker, made_sample):
    module = host.load(MODULE_FILE)
    result = host.run_unit_tests(module)
    assert [text for _test, text in (*result.failures, *result.errors)] == []
    assert result.testsRun == 5


@pytest.fixture
def without_torch(monkeypatch):
    """Torch is missing, and so is the extension: whatever asks for it says so, and no test may get that far."""
    from GliomaGradingLib.panel import dependencies

    monkeypatch.setattr(dependencies, "missing", lambda *_: ["torch", "torchvision"])
    monkeypatch.setattr(dependencies, "ensure", lambda: pytest.fail("it was about to be installed"))


def test_module_does_not_install_torch_to_test_itself(host, fake_worker, without_torch):
    module = host.load(MODULE_FILE)
    result = host.run_unit_tests(module)
    assert result.wasSuccessful() and result.testsRun == 5
    assert [reason for _test, reason in result.skipped] == ["PyTorch is not installed in Slicer"] * 3


def test_reload_and_test_says_what_it_skips(host, fake_worker, without_torch, caplog):
    caplog.set_level("INFO")
    host.self_test(host.load(MODULE_FILE, enter=True))
    said = [line for line in caplog.messages if "skipped" in line]
    assert said == [
        f"test_{name} was skipped: PyTorch is not installed in Slicer" for name in ("logic", "panel", "cancel")
    ]


# The batch from the console


def test_cohort_survives_a_bad_case(host, module, tmp_path, sample_case):
    (tmp_path / "in" / "b bad").mkdir(parents=True)
    (tmp_path / "in" / "b bad" / "b_t1.nii.gz").write_bytes(b"")
    (tmp_path / "in" / "ä good").symlink_to(sample_case)
    seen = []
    results = module.logic.gradeCohort(
        tmp_path / "in", tmp_path / "out", progress=lambda name, fraction: seen.append((name, fraction))
    )
    (bad, half), (good, whole) = seen
    assert (half, whole) == (0.5, 1.0)
    assert list(results) == [bad, good]
    assert results[good].grade == "HGG"
    assert "T2 and FLAIR and mask not found" in str(results[bad]) and "b bad" in str(results[bad])
    rows = (tmp_path / "out" / "results.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[1] for row in rows] == ["status", "failed", "graded"]
    written = json.loads((tmp_path / "out" / "cases" / good / "result.json").read_text(encoding="utf-8"))
    assert written["grade"] == "HGG"
    path = tmp_path / "out" / "cases" / good / "result.json"
    path.write_text(json.dumps({**written, "votes": []}), encoding="utf-8")
    assert "its result cannot be read any more (the result has other votes" in str(results[good])
    path.unlink()
    assert "grade the case again" in str(results[good])


def test_cohort_keeps_the_window_alive_and_does_not_read_on_its_thread(
    host, module, tmp_path, sample_case, monkeypatch
):
    import qt
    from GliomaGradingLib import case
    from GliomaGradingLib.errors import GliomaGradingError

    def read(*arguments):
        raise AssertionError("a case is read in Slicer's process")

    monkeypatch.setattr(case, "read_paths", read)
    turns = []
    timer = qt.QTimer()
    timer.connect("timeout()", lambda: turns.append(1))
    timer.start(5)
    module.logic.gradeCohort(sample_case, tmp_path / "out", vote="soft")
    timer.stop()
    assert len(turns) > 3
    with pytest.raises(GliomaGradingError, match="holds the results of a batch"):
        module.logic.gradeCohort(sample_case, tmp_path / "out", vote="soft")
    with pytest.raises(GliomaGradingError, match=r"made with --vote soft, and .*majority"):
        module.logic.gradeCohort(sample_case, tmp_path / "out", resume=True)
    assert len(module.logic.gradeCohort(sample_case, tmp_path / "out", vote="soft", resume=True)) == 1


def test_cohort_takes_the_options_of_the_command(host, module, tmp_path, monkeypatch):
    from GliomaGradingLib.cohort.work import Settings
    from GliomaGradingLib.scene import cohort

    given = []
    monkeypatch.setattr(
        cohort, "grade_cohort", lambda source, output, settings, *_rest, **_more: given.append(settings)
    )
    module.logic.gradeCohort(tmp_path, tmp_path / "out")
    module.logic.gradeCohort(
        tmp_path,
        tmp_path / "out",
        maskLabels=[1, 4],
        reports=True,
        dicom=True,
        timeout=60.0,
        bundle="b",
        device="cpu",
    )
    assert given == [Settings(), Settings("b", "cpu", "majority", "auto", (1, 4), True, True, 60.0)]


def test_cohort_of_one_case_folder(host, module, tmp_path, sample_case):
    assert list(module.logic.gradeCohort(sample_case, tmp_path / "out")) == ["synthetic-hgg"]


def test_cohort_without_cases(host, module, tmp_path):
    from GliomaGradingLib.errors import UsageError

    with pytest.raises(UsageError, match="there is no case"):
        module.logic.gradeCohort(tmp_path, tmp_path / "out")


def test_process_passes_errors_on_and_leaves_nothing(host, module, scene):
    from GliomaGradingLib import CaseError

    nodes = [*scene.sequences(), scene.labelmap(box=(slice(0, 0),))]
    before = scene.ids()
    with pytest.raises(CaseError, match="the mask is empty"):
        module.logic.process(*nodes)
    assert scene.ids() == before


def test_process_tells_progress(host, module, scene):
    seen = []
    module.logic.process(*scene.case(), progress=lambda stage, fraction: seen.append(stage))
    assert seen[0] == "alignment" and "slices" in seen


def test_process_is_cancelled_by_its_callback(host, module, scene):
    from GliomaGradingLib.errors import GliomaGradingError

    nodes = scene.case()
    before = scene.ids()
    with pytest.raises(GliomaGradingError) as caught:
        module.logic.process(*nodes, cancelled=lambda: True)
    assert caught.value.exit_status == 130
    assert scene.ids() == before
    assert module.logic.process(*nodes).grade in ("LGG", "HGG")  # and the next one works


def test_a_cancelled_cohort_keeps_what_is_done(host, module, tmp_path, sample_case):
    from GliomaGradingLib.errors import GliomaGradingError

    for name in ("1", "2", "3"):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "in" / name).symlink_to(sample_case)
    done = []
    with pytest.raises(GliomaGradingError) as caught:
        module.logic.gradeCohort(
            tmp_path / "in",
            tmp_path / "out",
            progress=lambda name, fraction: done.append(name),
            cancelled=lambda: len(done) == 1,
        )
    assert caught.value.exit_status == 130
    rows = (tmp_path / "out" / "results.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [[done[0], "graded"]]
