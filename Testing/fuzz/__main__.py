"""Run one fuzz target for a while; goes on from the corpus of the last time.

With Atheris (libFuzzer for Python, ``pip install atheris``) the search follows coverage. Without it, Hypothesis
mutates the seeds, which finds less. What fails is left as ``crash-*`` in the corpus folder's parent.

    python -m Testing.fuzz readers --seconds 600
    python -m Testing.fuzz readers --replay build/fuzz/crash-...
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "GliomaGrading"))
CORPORA = REPOSITORY / "build" / "fuzz"
NAMES = ("readers", "protocol", "bundle", "weights")


def main() -> None:
    options = _options()
    corpus = options.corpus / options.target
    corpus.mkdir(parents=True, exist_ok=True)
    if options.replay:
        _replay(options.target, options.replay)
    elif importlib.util.find_spec("atheris"):
        _with_atheris(options.target, corpus, options.seconds)
    else:
        _with_hypothesis(options.target, corpus, options.seconds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m Testing.fuzz", description=__doc__)
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--corpus", type=Path, default=CORPORA, help="folder of the corpora; not committed")
    parser.add_argument("--replay", type=Path, nargs="+", help="run these inputs once and stop at a failure")
    return parser.parse_args()


def _replay(target: str, paths: list[Path]) -> None:
    from .targets import TARGETS

    for path in paths:
        print(path, flush=True)
        TARGETS[target](path.read_bytes())


def _seed(target: str, corpus: Path) -> None:
    from .seeds import SEEDS

    for number, data in enumerate(SEEDS[target]()):
        (corpus / f"seed-{number:02d}").write_bytes(data)


def _with_atheris(target: str, corpus: Path, seconds: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["GliomaGradingLib"]):
        from .targets import TARGETS
    _seed(target, corpus)
    limits = [f"-max_total_time={seconds}", "-timeout=120", "-rss_limit_mb=3000", "-max_len=65536"]
    artifacts = f"-artifact_prefix={corpus.parent}/{target}-"
    atheris.Setup([sys.argv[0], str(corpus), *limits, artifacts, "-print_final_stats=1"], TARGETS[target])
    atheris.Fuzz()


def _with_hypothesis(target: str, corpus: Path, seconds: int) -> None:
    import time

    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    from .targets import TARGETS

    _seed(target, corpus)
    seeds = [path.read_bytes() for path in sorted(corpus.iterdir())]
    edits = st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(max_size=8)), max_size=6)

    @settings(max_examples=500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(seeds), edits, st.integers(0, 1 << 16))
    def search(seed: bytes, changes: list[tuple[int, bytes]], end: int) -> None:
        data = bytearray(seed)
        for place, new in changes:
            data[place % len(data) : place % len(data) + len(new)] = new
        TARGETS[target](bytes(data[: max(1, len(data) - end % len(data))] if end % 5 == 0 else data))

    stop = time.monotonic() + seconds
    while time.monotonic() < stop:
        search()


if __name__ == "__main__":
    main()
