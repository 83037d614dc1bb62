"""How fast a batch is and how much memory it takes, against naive loops, with Dask, and with a worker killed.

::

    python Testing/benchmarks/batch.py --cases 1000 --work build/bench-batch [--real FOLDER] [--cores 2]

Cases are perturbed copies (gain, noise, a shift by whole voxels) of the synthetic sample and of the real cases
in --real, brought to 2 mm. Every step is kept in --work and is not done twice; remove its file there to measure
it again. Results: batch.json, batch.md, batch.png in --work, with --publish in Resources/Benchmarks. Needs the
extra ``cohort``.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "GliomaGrading")]

from Testing.benchmarks.batch_kill import differences  # noqa: E402
from Testing.benchmarks.measure import processor  # noqa: E402

RESULTS = REPOSITORY / "Resources" / "Benchmarks"
ENDINGS = {"T1": "t1", "T2": "t2", "FLAIR": "flair", "mask": "seg"}
SPACING = 2.0
SAMPLE_SECONDS = 0.5
SAMPLE_SHARE = 0.02
"""Of one core, that watching the memory may take of what is measured."""
TINY_TASKS = 10_000
KILLED_CASES = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--work", type=Path, default=REPOSITORY / "build" / "bench-batch")
    parser.add_argument("--real", type=Path, help="folder of real cases to perturb as well")
    parser.add_argument("--naive", type=int, default=12, help="cases for the loop of fresh processes")
    parser.add_argument("--only", nargs="*", help="steps; default: all")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="cores, as stated in the table")
    parser.add_argument("--publish", action="store_true", help="write the table into Resources/Benchmarks")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    options.inputs = make_cases(options.work / f"in-{options.cases}", options.cases, options.real)
    for name, step in STEPS.items():
        if options.only is None or name in options.only:
            measured(options.work / f"{name}-{options.cases}.json", lambda step=step: step(options))
    report(options, RESULTS if options.publish else options.work)


# Cases


def make_cases(folder: Path, count: int, real: Path | None) -> Path:
    """``count`` cases in the BraTS layout; those that are there already stay."""
    missing = [n for n in range(count) if not (folder / case_name(n) / f"{case_name(n)}_seg.nii.gz").is_file()]
    if missing:
        bases = list(base_cases(real))
        for number in missing:
            write_perturbed(folder / case_name(number), bases[number % len(bases)], number)
    return folder


def case_name(number: int) -> str:
    return f"bench_{number:05d}"


def base_cases(real: Path | None) -> Iterator[dict[str, Any]]:
    import SimpleITK as sitk
    from GliomaGradingLib.cohort.listing import find_cohort
    from GliomaGradingLib.sample import sample_volumes

    for preset in ("hgg", "lgg"):
        yield small({name: volume.toImage() for name, volume in sample_volumes(preset).items()})
    for entry in find_cohort(real).complete if real else ():
        yield small({role: sitk.ReadImage(str(path)) for role, path in entry.files.items()})


def small(images: dict[str, Any]) -> dict[str, Any]:
    """At 2 mm."""
    import SimpleITK as sitk

    first = images["T1"]
    size = [round(n * s / SPACING) for n, s in zip(first.GetSize(), first.GetSpacing(), strict=True)]
    made = {}
    for role, image in images.items():
        how = sitk.sitkNearestNeighbor if role == "mask" else sitk.sitkLinear
        made[role] = sitk.Resample(
            image, size, sitk.Transform(), how, first.GetOrigin(), [SPACING] * 3, first.GetDirection(), 0.0
        )
    return made


def write_perturbed(folder: Path, images: dict[str, Any], seed: int) -> None:
    """Another gain for each sequence, noise inside the head, and all moved by up to three voxels."""
    import SimpleITK as sitk

    rng = np.random.default_rng(seed)
    move = tuple(int(v) for v in rng.integers(-3, 4, 3))
    folder.mkdir(parents=True, exist_ok=True)
    for role, image in images.items():
        array = sitk.GetArrayFromImage(image).astype(np.float32)
        if role != "mask":
            noise = rng.normal(0, 0.01 * array[array > 0].mean(), array.shape).astype(np.float32)
            array = np.where(array > 0, np.maximum(array * rng.uniform(0.8, 1.25) + noise, 1), 0)
        array = np.roll(array, move, (0, 1, 2))
        made = sitk.GetImageFromArray(array.astype(np.uint8 if role == "mask" else np.int16))
        made.CopyInformation(image)
        sitk.WriteImage(made, str(folder / f"{folder.name}_{ENDINGS[role]}.nii.gz"), True, 1)


# Steps


def naive_processes(options: argparse.Namespace) -> dict[str, Any]:
    """A fresh ``glioma-grading grade`` for each case, as a shell loop does."""
    count = min(options.naive, options.cases)
    with Memory([os.getpid()]) as memory:
        start, spent = time.perf_counter(), cpu_seconds()
        for number in range(count):
            out = options.work / "naive" / case_name(number)
            shutil.rmtree(out, ignore_errors=True)
            subprocess.run(
                product("grade", options.inputs / case_name(number), "--output", out),
                env=environment(),
                stdout=subprocess.DEVNULL,
                check=True,
            )
        found = figures(count, time.perf_counter() - start, memory)
        return {**found, "cpu_seconds_per_case": round((cpu_seconds() - spent) / count, 3)}


def naive_loop(options: argparse.Namespace) -> dict[str, Any]:
    """One Python process: read, grade, write result.json, next."""
    count = min(max(options.naive * 5, 50), options.cases)
    code = (
        "import sys; from pathlib import Path; from GliomaGradingLib import Case, Grader\n"
        "grader = Grader.load()\n"
        "for path in sys.argv[2:]:\n"
        "    result = grader.grade(Case.read(path))\n"
        "    (Path(sys.argv[1]) / (result.case + '.json')).write_text(result.toJson())\n"
    )
    out = options.work / "loop"
    out.mkdir(exist_ok=True)
    paths = [options.inputs / case_name(number) for number in range(count)]
    return run_measured([sys.executable, "-c", code, out, *paths], count)


def full_size(options: argparse.Namespace) -> dict[str, Any]:
    """``glioma-grading batch`` on heads of 160 x 224 x 192 voxels at 1 mm, with skull (the two samples)."""
    from GliomaGradingLib.sample import write_sample_case

    folder, count = options.work / "full", 8
    for number in range(count):
        if not (folder / f"full{number}" / "SYNTHETIC.txt").is_file():
            write_sample_case(folder / f"full{number}", ("hgg", "lgg")[number % 2])
    out = options.work / "out-full"
    shutil.rmtree(out, ignore_errors=True)
    return run_measured(product("batch", folder, "--output", out, "--quiet"), count)


def batch(options: argparse.Namespace) -> dict[str, Any]:
    """``glioma-grading batch``: one grading process, the next case prepared while one is inferred."""
    return a_batch(options, "batch")


def dask_workers(options: argparse.Namespace) -> dict[str, Any]:
    """``glioma-grading batch --workers 2``."""
    return a_batch(options, "dask_workers", "--workers", 2)


def dask_scheduler(options: argparse.Namespace) -> dict[str, Any]:
    """``glioma-grading batch --scheduler ADDRESS``: scheduler and two workers are processes of their own."""
    with cluster() as (address, processes):
        return a_batch(options, "dask_scheduler", "--scheduler", address, others=processes)


def dask_killed(options: argparse.Namespace) -> dict[str, Any]:
    """The same; kill -9 of one of the two workers when a third of the cases are done."""
    out = options.work / f"out-dask_killed-{options.cases}"
    with cluster() as (address, processes):
        worker = processes[-1]

        def kill() -> None:
            while lines(out / "journal.jsonl") < options.cases // 3:
                time.sleep(0.2)
            worker.send_signal(signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()
        return a_batch(options, "dask_killed", "--scheduler", address, others=processes)


def kills(options: argparse.Namespace) -> dict[str, Any]:
    """kill -9 at 20 random moments, resumed each time (``batch_kill.py``)."""
    folder, work = options.work / "in-kills", options.work / "kills"
    folder.mkdir(exist_ok=True)
    work.mkdir(exist_ok=True)
    for number in range(min(KILLED_CASES, options.cases)):
        link = folder / case_name(number)
        if not link.exists():
            link.symlink_to((options.inputs / case_name(number)).resolve(), target_is_directory=True)
    (work / "found.json").unlink(missing_ok=True)
    script = [sys.executable, Path(__file__).with_name("batch_kill.py"), folder, "--work", work]
    subprocess.run([*map(str, script), "--json", str(work / "found.json")], check=False)
    found: dict[str, Any] = json.loads((work / "found.json").read_text())
    return {"cases": len(list(folder.iterdir())), **found}


def dask_overhead(options: argparse.Namespace) -> dict[str, Any]:
    """10,000 tasks that do nothing but answer with 12 kB, through the batch's own Dask runner, two workers."""
    from GliomaGradingLib.cohort import dask_runner
    from GliomaGradingLib.cohort.work import Settings, Task

    settings = Settings()
    files = dict.fromkeys(ENDINGS, "/data/cohort/case/case_image.nii.gz")
    dask_runner.grade_on_worker = tiny  # type: ignore[assignment]
    runner = dask_runner.DaskRunner(settings, workers=2)
    runner._connect()
    runner._client.wait_for_workers(2)
    with Memory([os.getpid()]) as memory:
        start, spent = time.perf_counter(), cpu_seconds([os.getpid()])
        given = done = 0
        while done < TINY_TASKS:
            while given < TINY_TASKS and given - done < runner.window:
                runner.submit(Task(given, f"case-{given}", files, None, settings))
                given += 1
            done += len(runner.collect())
        took, spent = time.perf_counter() - start, cpu_seconds([os.getpid()]) - spent
    runner.close()
    return {
        **figures(TINY_TASKS, took, memory),
        "milliseconds_per_task": 1000 * took / TINY_TASKS,
        "core_milliseconds_per_task": 1000 * spent / TINY_TASKS,
    }


def tiny(key: str, task: Any) -> Any:
    from GliomaGradingLib.cohort.work import Outcome

    return Outcome(task, {"case": task.case}, {"result.json": b"x" * 12_000})


def durable(options: argparse.Namespace) -> dict[str, Any]:
    """What it costs to make a case durable: 500 cases of 15 kB in two files kept in a store."""
    from GliomaGradingLib.cohort.store import Store
    from GliomaGradingLib.export.tables import failed_row

    out = options.work / "store"
    shutil.rmtree(out, ignore_errors=True)
    with Store(out) as store, Memory([os.getpid()]) as memory:
        store.open({"name": "none", "version": "0", "sha256": "0"}, {})
        start = time.perf_counter()
        for number in range(500):
            row = failed_row(f"case-{number}", "none")
            files = {"result.json": b"x" * 12_000, "thumbnail.png": b"x" * 3_000}
            store.keep(f"case-{number}", f"case-{number}", "0", row, files)
        took = time.perf_counter() - start
    return {**figures(500, took, memory), "milliseconds_per_case": 1000 * took / 500}


def around(options: argparse.Namespace) -> dict[str, Any]:
    """What the batch does beside grading: it lists the cases, looks up their files, reads its journal, writes
    the page; on the output of ``batch``, with everything in the page cache."""
    from GliomaGradingLib.cohort.finish import finish
    from GliomaGradingLib.cohort.run import BatchJob, list_cases
    from GliomaGradingLib.cohort.store import BATCH, Store
    from GliomaGradingLib.cohort.taught import Teachers
    from GliomaGradingLib.cohort.work import fingerprint

    out = options.work / f"out-batch-{options.cases}"
    earlier = json.loads((out / BATCH).read_text(encoding="utf-8"))
    took: dict[str, float] = {}

    @contextmanager
    def timed(what: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        took[what] = round(1000 * (time.perf_counter() - start) / options.cases, 4)

    with timed("listing"):
        cohort = list_cases(BatchJob(options.inputs, out))
    with timed("fingerprints"):
        for entry in cohort.cases:
            fingerprint(entry.files, entry.folder, entry.mask_labels)
    with Store(out, resume=True) as store:
        with timed("journal"):
            store.recall(earlier["options"])
            store.open(earlier["model"], earlier["options"])
        with timed("page"):
            store.write_table(entry.case for entry in cohort.cases)
            finish(store, cohort, Teachers.of(None))
    sizes = [path.stat().st_size for entry in cohort.cases for path in entry.files.values()]
    return {
        "cases": options.cases,
        "milliseconds_per_case": took,
        "input_mb_per_case": round(sum(sizes) / options.cases / 1e6, 3),
        "journal_bytes_per_case": round((out / "journal.jsonl").stat().st_size / options.cases),
        "result_bytes_per_case": round(
            sum(path.stat().st_size for path in (out / "cases").rglob("*") if path.is_file()) / options.cases
        ),
    }


STEPS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    step.__name__: step
    for step in (
        naive_processes,
        naive_loop,
        full_size,
        batch,
        dask_workers,
        dask_scheduler,
        dask_killed,
        kills,
        dask_overhead,
        durable,
        around,
    )
}


def a_batch(
    options: argparse.Namespace, name: str, *more: object, others: list[subprocess.Popen[str]] | None = None
) -> dict[str, Any]:
    out = options.work / f"out-{name}-{options.cases}"
    shutil.rmtree(out, ignore_errors=True)
    command = product("batch", options.inputs, "--output", out, "--quiet", *more)
    found = run_measured(command, options.cases, [process.pid for process in others or []])
    rows = table(out)
    found["failed"] = sum(row["status"] != "graded" for row in rows)
    first = options.work / f"out-batch-{options.cases}"
    if first != out and (first / "cohort.html").is_file():
        found["differs_from_batch"] = differences(first, out)
    return found


# Measuring


class Memory:
    """Memory (MB, unique set size) over time of processes and of all that they started."""

    def __init__(self, pids: list[int]) -> None:
        import psutil

        self._roots = [psutil.Process(pid) for pid in pids]
        self._end = threading.Event()
        self.samples: list[tuple[float, float]] = []
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _sample(self) -> None:
        start = time.monotonic()
        while not self._end.is_set():
            asked = time.monotonic()
            self.samples.append((asked - start, self._now()))
            took = time.monotonic() - asked
            self._end.wait(max(SAMPLE_SECONDS, took / SAMPLE_SHARE))

    def _now(self) -> float:
        import psutil

        total = 0
        for root in self._roots:
            try:
                processes = [root, *root.children(recursive=True)]
            except psutil.Error:
                continue
            for process in processes:
                try:
                    total += process.memory_full_info().uss
                except psutil.Error:
                    continue
        return total / 1e6


def run_measured(command: list[Any], count: int, others: list[int] | None = None) -> dict[str, Any]:
    start, spent = time.perf_counter(), cpu_seconds(others)
    process = subprocess.Popen([str(part) for part in command], env=environment(), stdout=subprocess.DEVNULL)
    with Memory([process.pid, *(others or [])]) as memory:
        status = process.wait()
    if status != 0:
        raise SystemExit(f"{command} ended with {status}")
    found = figures(count, time.perf_counter() - start, memory)
    return {**found, "cpu_seconds_per_case": round((cpu_seconds(others) - spent) / count, 3)}


def cpu_seconds(others: list[int] | None = None) -> float:
    """Of all that this process started and that has ended, and of other processes with what they started."""
    import resource

    import psutil

    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for pid in others or []:
        try:
            root = psutil.Process(pid)
            times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
        except psutil.Error:
            continue
        total += sum(t.user + t.system + t.children_user + t.children_system for t in times)
    return total


def figures(count: int, seconds: float, memory: Memory) -> dict[str, Any]:
    step = max(len(memory.samples) // 400, 1)
    return {
        "cases": count,
        "seconds": round(seconds, 2),
        "cases_per_minute": round(60 * count / seconds, 2),
        "memory_mb_highest": round(max(mb for _when, mb in memory.samples)),
        "memory": [[round(when, 1), round(mb)] for when, mb in memory.samples[::step]],
    }


def growth(found: dict[str, Any]) -> float:
    """MB more in the third quarter of a step's time than in its second, by medians: a process that is being
    replaced or read is in some samples and not in others."""
    when, mb = np.array(found["memory"]).T
    quarter = 4 * when // found["seconds"]
    second, third = mb[quarter == 1], mb[quarter == 2]
    return float(np.median(third) - np.median(second)) if len(second) and len(third) else 0.0


def measured(path: Path, step: Callable[[], dict[str, Any]]) -> None:
    if not path.is_file():
        print(f"{path.stem} ...", flush=True)
        found = step()
        path.write_text(json.dumps(found))
        print({key: value for key, value in found.items() if key != "memory"}, flush=True)


@contextmanager
def cluster() -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """Address and processes of a Dask scheduler with two workers."""
    calm = ["--no-dashboard", "--no-jupyter"]
    quiet: dict[str, Any] = {"env": environment(), "text": True}
    scheduler = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *calm],
        stderr=subprocess.PIPE,
        **quiet,
    )
    assert scheduler.stderr is not None
    address = next(line.split()[-1] for line in scheduler.stderr if "Scheduler at:" in line)
    threading.Thread(target=scheduler.stderr.read, daemon=True).start()
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
    processes = [scheduler]
    for _ in range(2):
        processes.append(subprocess.Popen([*worker, "--no-dashboard"], stderr=subprocess.DEVNULL, **quiet))
    try:
        yield address, processes
    finally:
        for process in processes:
            process.kill()
            process.wait()


def product(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "GliomaGradingLib", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY / "GliomaGrading")}


def table(out: Path) -> list[dict[str, str]]:
    with (out / "results.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


# Report


def report(options: argparse.Namespace, folder: Path) -> None:
    paths = {name: options.work / f"{name}-{options.cases}.json" for name in STEPS}
    found = {name: json.loads(path.read_text()) for name, path in paths.items() if path.is_file()}
    size = [int(options.cases), str(SPACING)]
    about = {
        "command": command_line(options),
        "machine": f"{options.cores} core(s) of {processor()}, {memory_gb()} GB",
        "cases": f"{size[0]} at {size[1]} mm, {shape_of(options.inputs)} voxels",
        "steps": found,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "batch.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    (folder / "batch.md").write_text(markdown(about), encoding="utf-8")
    plot(found, folder / "batch.png")
    print(markdown(about))


def command_line(options: argparse.Namespace) -> str:
    """What made the figures; where the real cases lie is nobody's business."""
    real = " --real FOLDER" if options.real else ""
    return (
        f"python Testing/benchmarks/batch.py --cases {options.cases} --naive {options.naive} "
        f"--cores {options.cores}{real}"
    )


LOST = ("dask_killed",)
"""Steps of which a process was killed: what it had computed until then is in nobody's account."""


def markdown(about: dict[str, Any]) -> str:
    head = (
        "| | cases | cases a minute | times the shell loop | core seconds a case | highest memory, MB "
        "| growth, MB | output |"
    )
    body = [head, "|---|---:|---:|---:|---:|---:|---:|---|"]
    base = about["steps"].get("naive_processes", {}).get("cases_per_minute", float("nan"))
    for name, found in about["steps"].items():
        if "cases_per_minute" not in found or name in ("dask_overhead", "durable"):
            continue  # no batches
        what = output_in_words(found)
        body.append(
            f"| {(STEPS[name].__doc__ or name).splitlines()[0]} | {found['cases']} "
            f"| {found['cases_per_minute']:.1f} | {found['cases_per_minute'] / base:.2f} "
            f"| {found['cpu_seconds_per_case']:.2f}{' or more' if name in LOST else ''} "
            f"| {found['memory_mb_highest']} | {growth(found):+.0f} | {what} |"
        )
    extra = []
    if "kills" in about["steps"]:
        extra.append(killed_in_words(about["steps"]["kills"]))
    if "dask_overhead" in about["steps"]:
        found = about["steps"]["dask_overhead"]
        wall, core = found["milliseconds_per_task"], found["core_milliseconds_per_task"]
        extra.append(
            f"Dask's overhead: {wall:.2f} ms a task, {core:.2f} ms of a core in all processes together "
            f"({TINY_TASKS} tasks that do nothing)."
        )
    if "durable" in about["steps"]:
        each = about["steps"]["durable"]["milliseconds_per_case"]
        extra.append(f"Making a case durable: {each:.1f} ms.")
    extra += ["", *on_paper(about["steps"])]
    words = f"`{about['command']}`, {about['machine']}; {about['cases']}."
    return "\n".join(["# Batches", "", words, "", *body, "", *extra, "", "![memory](batch.png)"]) + "\n"


def output_in_words(found: dict[str, Any]) -> str:
    """Whether all files, but for seconds, are those of the first batch."""
    if "differs_from_batch" not in found:
        return ""
    return f"{len(found['differs_from_batch'])} files DIFFER" if found["differs_from_batch"] else "the same"


def killed_in_words(found: dict[str, Any]) -> str:
    done = [kill["done"] for kill in found["at_kills"]]
    return (
        f"kill -9 of a batch of {found['cases']} cases and all its processes at {found['kills']} random "
        f"moments ({min(done)} to {max(done)} cases done; {found['kills_in_mid_work']} while it was grading, "
        f"the others while it started or ended), resumed each time, in {found['rounds']} "
        f"run(s) from first to last case: of {found['files']} files of the undisturbed output "
        f"{len(found['differ'])} differ in more than seconds, and {len(found['done_twice'])} cases were done "
        "twice."
    )


def on_paper(steps: dict[str, Any]) -> list[str]:
    """What 100,000 cases take, from what was measured."""
    if not {"batch", "dask_overhead", "durable", "around"} <= set(steps):
        return []
    cases, own = 100_000, steps["around"]["milliseconds_per_case"]
    each = {
        "Dask's share": steps["dask_overhead"]["milliseconds_per_task"],
        "looking up the files": own["fingerprints"],
        "making the case durable": steps["durable"]["milliseconds_per_case"],
    }
    once = {"listing": own["listing"], "reading the journal": own["journal"], "table and page": own["page"]}
    batch_ms, once_ms = sum(each.values()), sum(once.values())
    sizes = {"cases like these": steps["batch"], "cases of 1 mm with skull": steps.get("full_size")}
    rows = [
        "## 100,000 cases on paper",
        "",
        "| | core hours | on 16 cores | on 320 cores |",
        "|---|---:|---:|---:|",
    ]
    for name, found in sizes.items():
        if found:
            hours = found["cpu_seconds_per_case"] * cases / 3600
            around_h = once_ms * cases / 3.6e6
            busiest = [max(hours / cores, batch_ms * cases / 3.6e6) + around_h for cores in (16, 320)]
            rows.append(f"| {name} | {hours:.0f} | {busiest[0]:.1f} h | {busiest[1]:.1f} h |")
    feeds = 1000 * steps["batch"]["cpu_seconds_per_case"] / batch_ms
    megabytes = steps["around"]["input_mb_per_case"]
    return [
        *rows,
        "",
        f"The batch itself takes {batch_ms:.1f} ms a case ({_parts(each)}), "
        f"{batch_ms * cases / 3.6e6:.1f} h for all, while others grade, and {once_ms:.2f} ms a case before and "
        f"after ({_parts(once)}). It can feed about {feeds:.0f} cores with cases like these. Beyond that it is "
        "the limit, and the cohort is better cut into several batches.",
        "",
        f"Not in it: the disk that the images come from ({megabytes:.1f} MB a case here, so that 320 cores "
        f"read {320 * megabytes / steps['batch']['cpu_seconds_per_case']:.0f} MB/s; a case of another size "
        "reads its own), folders and files that are not in the page cache or lie on a network, evaluation "
        "against known grades, and starting the workers.",
    ]


def _parts(milliseconds: dict[str, float]) -> str:
    return ", ".join(f"{what} {value:.2f}" for what, value in milliseconds.items())


CURVES = {
    "naive_loop": "one Python process",
    "batch": "batch",
    "dask_workers": "batch --workers 2",
    "dask_scheduler": "batch --scheduler",
    "dask_killed": "the same, a worker killed",
}
"""What the plot calls the steps whose memory it shows."""


def plot(found: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    for name, values in found.items():
        if name in CURVES:
            when, mb = np.array(values["memory"]).T
            axes.plot(when / 60, mb, label=f"{CURVES[name]}, {values['cases']} cases")
    axes.set(xlabel="minutes", ylabel="memory of all processes, MB (unique set size)", ylim=(0, None))
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def shape_of(inputs: Path) -> str:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(inputs / case_name(0) / f"{case_name(0)}_t1.nii.gz"))
    reader.ReadImageInformation()
    return " x ".join(map(str, reader.GetSize()))


def memory_gb() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)


if __name__ == "__main__":
    main()
