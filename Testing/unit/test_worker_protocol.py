"""Lines, requests and errors of the worker's protocol, and a server that nothing can confuse."""

from __future__ import annotations

import io
import json
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from GliomaGradingLib.errors import BundleError, CaseError
from GliomaGradingLib.worker import protocol
from GliomaGradingLib.worker import server as server_module
from GliomaGradingLib.worker.arrays import ArrayFile, ArrayVolume, MappedFile
from GliomaGradingLib.worker.protocol import ProtocolError, UnexpectedError, WorkerError
from GliomaGradingLib.worker.server import Channel, Server, import_engine
from hypothesis import given, settings
from hypothesis import strategies as st

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def half_right_requests() -> st.SearchStrategy[dict[str, Any]]:
    """Requests of a known kind whose members may be anything."""
    members = ("id", "version", "bundle", "device", "arrays", "output", "options")
    kinds = [kind for kind in protocol.KINDS if kind != "shutdown"]
    return st.fixed_dictionaries(
        {"kind": st.sampled_from(kinds)},
        optional={name: json_values | st.integers(0, 5) for name in members},
    )


lines = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")),
    json_values.map(lambda value: json.dumps(value).encode()),
    half_right_requests().map(lambda value: json.dumps(value).encode()),
)


class Answers(io.RawIOBase):
    """The client's end of the child's standard output."""

    def __init__(self, listen: Callable[[Any], object] | None = None) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self._listen = listen or (lambda event: None)

    def writable(self) -> bool:
        return True

    def write(self, line: Any) -> int:
        assert bytes(line).endswith(b"\n") and bytes(line).count(b"\n") == 1
        self.events.append(protocol.decode(bytes(line)))
        self._listen(self.events[-1])
        return len(line)


class EchoEngine:
    def load(self, bundle: Any, device: Any, progress: Any) -> dict[str, Any]:
        return {"bundle": bundle}

    def grade(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
        return {"options": options, "means": {name: v.array.mean() for name, v in volumes.items()}}


def serve(sent: bytes, make_engine: Any = EchoEngine, debug: bool = False) -> list[dict[str, Any]]:
    """What a server answers to a stream of bytes that then ends."""
    answers = Answers()
    left: queue.Queue[int] = queue.Queue()
    stop: list[Any] = []

    def leave(status: int) -> None:
        left.put(status)
        stop[0]()

    server = Server(make_engine, io.BytesIO(sent), Channel(answers, leave), leave, debug)
    stop.append(server.stop)
    server.run()
    assert left.get(timeout=5) == 0
    return answers.events


def request(kind: str, identifier: int = 1, **members: Any) -> bytes:
    return protocol.encode({"kind": kind, "id": identifier, **members})


@given(json_values.filter(lambda value: isinstance(value, dict)))
def test_a_message_comes_back_as_it_was(message: dict[str, Any]) -> None:
    line = protocol.encode(message)
    assert line.isascii() and line.index(b"\n") == len(line) - 1
    assert protocol.decode(line) == message


def test_file_names_in_no_encoding_survive() -> None:
    name = b"/tmp/gr\xf6\xdfe \xe2\x82\xac".decode("utf-8", "surrogateescape")
    assert protocol.decode(protocol.encode({"path": name})) == {"path": name}


def test_numbers_of_numpy_become_numbers() -> None:
    line = protocol.encode({"a": np.float64(0.25), "b": np.int16(-3), "c": np.bool_(True), "d": np.array(7)})
    assert json.loads(line) == {"a": 0.25, "b": -3, "c": True, "d": 7}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, np.zeros(2), "x" * protocol.MAX_LINE])
def test_what_is_no_message_is_not_written(value: Any) -> None:
    with pytest.raises(ProtocolError):
        protocol.encode({"value": value})


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"[1]", b"1", b'{"a": NaN}', b'{"a": 1', b"\xff{}", b"[" * 100_000, b"9" * 9_000]
)
def test_what_is_no_message_is_not_read(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.decode(line)


def test_long_lines_are_skipped_and_the_next_one_is_read() -> None:
    stream = io.BytesIO(b"ab\n" + b"x" * 25 + b"\n" + b"1234567\n" + b"y" * 9)
    assert list(protocol.read_lines(stream, 8)) == [b"ab\n", None, b"1234567\n", None]


@pytest.mark.parametrize(
    ("message", "word"),
    [
        ({}, "kind"),
        ({"kind": ["grade"]}, "kind"),
        ({"kind": "dance", "id": 1}, "dance"),
        ({"kind": "ping"}, "id"),
        ({"kind": "ping", "id": True}, "id"),
        ({"kind": "ping", "id": "1"}, "id"),
        ({"kind": "hello", "id": 1}, "version"),
        ({"kind": "load", "id": 1, "device": "cpu", "bundle": 3}, "bundle"),
        ({"kind": "load", "id": 1, "bundle": None}, "device"),
        ({"kind": "grade", "id": 1, "arrays": [], "output": "", "options": {}}, "arrays"),
        ({"kind": "explain", "id": 1, "arrays": {}, "output": "", "options": None}, "options"),
    ],
)
def test_a_wrong_request_is_refused_by_the_name_of_its_member(message: dict[str, Any], word: str) -> None:
    with pytest.raises(ProtocolError, match=word):
        protocol.check_request(message)


@pytest.mark.parametrize("cls", [CaseError, BundleError, WorkerError, protocol.SlicesGone])
def test_an_error_crosses_with_its_class_and_its_words(cls: type[CaseError]) -> None:
    error = cls("it is broken", "file ü.nii", "mend it")
    event = protocol.decode(protocol.encode(protocol.error_event(error, 4)))
    back = protocol.error_from_event(event)
    assert (type(back), str(back), back.where) == (cls, "it is broken, in file ü.nii: mend it", "file ü.nii")
    assert event["exit_status"] == cls.exit_status and event["id"] == 4 and "traceback" not in event


def test_a_traceback_crosses_only_when_debugging() -> None:
    try:
        raise ValueError("odd")
    except ValueError as error:
        event = protocol.error_event(error, None, debug=True)
    assert "ValueError: odd" in event["traceback"] and "test_worker_protocol" in event["traceback"]
    details = protocol.error_from_event(event)
    assert isinstance(details, WorkerError) and details.details[-1] == "ValueError: odd"


def test_an_event_without_words_still_makes_an_error() -> None:
    error = protocol.error_from_event({"event": "error", "kind": "Nonsense"})
    assert type(error) is UnexpectedError and error.problem


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("CUDA error: out of memory"), RuntimeError("std::bad_alloc")],
)
def test_missing_memory_is_called_by_its_name(error: Exception) -> None:
    assert "memory ran out" in protocol.error_event(error, 1)["problem"]


def test_the_server_answers_in_order() -> None:
    sent = (
        request("hello", 1, version=protocol.VERSION)
        + request("ping", 2)
        + request("load", 3, bundle=None, device="cpu")
        + protocol.encode({"kind": "shutdown"})
    )
    events = serve(sent)
    assert [(event["event"], event.get("id")) for event in events[:2]] == [("ready", 1), ("result", 2)]
    assert {"event": "bye"} in events


def test_another_version_is_refused() -> None:
    (event,) = serve(request("hello", 1, version=99))
    assert (event["event"], event["id"], event["kind"]) == ("error", 1, "ProtocolError")
    assert "99" in event["problem"] and event["remedy"]


def test_grading_before_loading_is_an_error() -> None:
    (event,) = serve(request("grade", 8, arrays={}, output="", options={}))
    assert (event["event"], event["id"]) == ("error", 8) and "no model is loaded" in event["problem"]


def test_an_engine_that_cannot_be_imported_is_an_error() -> None:
    load = request("load", 1, bundle=None, device="cpu")
    (event,) = serve(load, lambda: import_engine("GliomaGradingLib.no_such_module:Engine"))
    assert event["event"] == "error" and "no_such_module" in event["problem"]


def test_an_id_that_is_in_use_is_refused() -> None:
    held = threading.Event()

    class Slow(EchoEngine):
        def load(self, bundle: Any, device: Any, progress: Any) -> dict[str, Any]:
            held.wait(5)
            return {}

    class Stream(io.BytesIO):
        def readline(self, size: Any = -1) -> bytes:
            line = super().readline(size)
            if not line:
                held.set()
            return line

    answers, ends = Answers(), []
    sent = request("load", 1, bundle=None, device="cpu") * 2
    server = Server(Slow, Stream(sent), Channel(answers, ends.append), lambda _: server.stop())
    server.run()
    kinds = [(event["event"], event["id"]) for event in answers.events]
    assert kinds == [("error", 1), ("result", 1)] and "in use" in answers.events[0]["problem"]


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"path": "/", "volumes": {"T1": {}}},
        {"path": __file__, "volumes": {}},
        {"path": __file__, "volumes": {"T1": {"dtype": "|O", "shape": [1], "offset": 0}}},
        {"path": __file__, "volumes": {"T1": {"dtype": ["<i2"], "shape": [1], "offset": 0}}},
        {"path": __file__, "volumes": {"T1": {"dtype": "<i2", "shape": [1 << 40], "offset": 0}}},
        {"path": __file__, "volumes": {"T1": {"dtype": "<i2", "shape": [4], "offset": -1}}},
        {"path": __file__, "volumes": {"T1": {"dtype": "<i2", "shape": [4], "offset": 0}}},
        {"path": __file__, "size": 3, "volumes": {"T1": {"dtype": "<i2", "shape": [4], "offset": 0}}},
    ],
)
def test_a_description_that_leaves_its_file_is_an_error_and_removes_nothing(arrays: dict[str, Any]) -> None:
    sent = request("load", 1, bundle=None, device="cpu") + request(
        "grade", 2, arrays=arrays, output="", options={}
    )
    before = open(__file__, "rb").read()  # noqa: PTH123, SIM115
    event = serve_all(sent)[-1]
    assert (event["event"], event["id"], event["kind"]) == ("error", 2, "ProtocolError")
    assert open(__file__, "rb").read() == before  # noqa: PTH123, SIM115


def serve_all(
    sent: bytes, make_engine: Any = EchoEngine, listen: Callable[[Any], object] | None = None
) -> list[dict[str, Any]]:
    """As ``serve``, but the stream ends only when all work is done, as a patient client would do it."""
    answers = Answers(listen)
    expected = sent.count(b'"id"') - sent.count(b'"cancel"')

    class Patient(io.BytesIO):
        def readline(self, size: Any = -1) -> bytes:
            line = super().readline(size)
            while not line and len([e for e in answers.events if e["event"] != "progress"]) < expected:
                threading.Event().wait(0.002)
            return line

    server = Server(make_engine, Patient(sent), Channel(answers, print), lambda _: server.stop())
    server.run()
    return answers.events


def volumes_request(file: ArrayFile, identifier: int) -> bytes:
    return request("grade", identifier, arrays=file.toMessage(), output=str(file.outputPath), options={})


@pytest.mark.parametrize("engine", ["plain", "in a cycle", "with an error"])
def test_the_images_are_let_go_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    closed: list[bool] = []

    class Watched(MappedFile):
        def close(self) -> bool:
            closed.append(super().close())
            return closed[-1]

    class Engine(EchoEngine):
        def grade(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
            cycle: list[Any] = [volumes]
            cycle.append(cycle if engine == "in a cycle" else None)
            if engine == "with an error":
                raise ValueError(f"{volumes['T1'].array.sum()}")
            return {"sum": volumes["T1"].array.sum(), "closed": list(closed)}

    monkeypatch.setattr(server_module, "MappedFile", Watched)
    file = ArrayFile({"T1": ArrayVolume(np.ones((2, 3, 4)))}, tmp_path)
    file.write()
    seen: list[bool] = []
    sent = request("load", 1, bundle=None, device="cpu") + volumes_request(file, 2)
    events = serve_all(sent, Engine, lambda event: seen.append(closed[-1:] == [True]))
    assert events[-1]["event"] == ("error" if engine == "with an error" else "result")
    assert seen[-1] is True, "the answer came while the file was still mapped"
    assert events[-1].get("result", {}).get("sum", 24.0) == 24.0


@pytest.mark.parametrize("way", ["raises", "turns it into another error", "takes no notice"])
def test_a_cancelled_request_is_answered_as_cancelled(tmp_path: Path, way: str) -> None:
    class Engine(EchoEngine):
        def grade(self, volumes: Any, options: Any, progress: Any) -> dict[str, Any]:
            try:
                while True:
                    progress("stage", 0.5)
                    threading.Event().wait(0.002)
            except BaseException as error:
                if way == "raises":
                    raise
                if way == "turns it into another error":
                    raise RuntimeError("error in callback") from error
            return {}

    file = ArrayFile({"T1": ArrayVolume(np.ones((2, 3, 4)))}, tmp_path)
    file.write()
    sent = request("load", 1, bundle=None, device="cpu") + volumes_request(file, 2)
    events = serve_all(sent + protocol.encode({"kind": "cancel", "id": 2}), Engine)
    events = [event for event in events if event["event"] != "progress"]
    assert events[-1] == {"event": "cancelled", "id": 2} and len(events) == 2


@settings(max_examples=120, deadline=None)
@given(st.lists(lines, max_size=8))
def test_no_line_confuses_the_server(sent: list[bytes]) -> None:
    probe = 987_654_321
    stream = b"".join(line.replace(b"\n", b" ") + b"\n" for line in sent) + request("ping", probe)
    events = serve(stream)
    assert all(event["event"] in protocol.EVENTS for event in events)
    assert [e for e in events if e.get("id") == probe and e["event"] == "result"]
    is_wrong = [line for line in sent if line.strip() and not _is_request(line.replace(b"\n", b" "))]
    assert len([e for e in events if e["event"] == "error"]) >= len(is_wrong)


def _is_request(line: bytes) -> bool:
    try:
        protocol.check_request(protocol.decode(line))
    except ProtocolError:
        return False
    return True
