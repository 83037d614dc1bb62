"""The three networks side by side give what one thread gives, to the bit."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
import torch
from GliomaGradingLib.inference import FusedModel
from GliomaGradingLib.network import TransferModel
from GliomaGradingLib.readers import Input, Readers, _pool, parts_of
from GliomaGradingLib.words import SEQUENCES

PIXELS, COUNT = 32, 23  # the last part is a short one


@pytest.fixture(scope="module")
def readers() -> Readers:
    torch.manual_seed(0)
    return Readers({name: FusedModel(TransferModel("googlenet-2014"), PIXELS) for name in SEQUENCES})


@pytest.fixture(scope="module")
def inputs() -> dict[str, Input]:
    images = {name: torch.randn(COUNT, 3, PIXELS, PIXELS) for name in SEQUENCES}
    tumour = (torch.rand(COUNT, PIXELS, PIXELS) > 0.5).float()
    return {name: lambda part, own=own: (own[part], tumour[part]) for name, own in images.items()}


def pooled(readers: Readers, inputs: dict[str, Input]) -> Iterator[tuple[str, torch.Tensor]]:
    return readers.judged(inputs, COUNT, lambda _sequence, features: features)


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_any_number_of_threads_gives_the_same_bits_in_the_same_order(readers, inputs, threads):
    torch.set_num_threads(1)
    alone = list(pooled(readers, inputs))
    assert [name for name, _ in alone] == list(SEQUENCES)
    assert float((alone[0][1] - alone[1][1]).abs().max()) > 0.01
    for count in (2, 3, 12):
        torch.set_num_threads(count)
        found = list(pooled(readers, inputs))
        assert torch.get_num_threads() == count
        assert [name for name, _ in found] == list(SEQUENCES)
        for (_, mine), (_, expected) in zip(found, alone, strict=True):
            assert torch.equal(mine, expected)


def test_a_threads_error_reaches_the_caller_and_the_next_reading_works(readers, inputs, threads):
    torch.set_num_threads(2)

    def fails(part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        raise ValueError(f"no slice {part.start}")

    with pytest.raises(ValueError, match="no slice"):
        list(pooled(readers, {**inputs, "T2": fails}))
    assert len(list(pooled(readers, inputs))) == len(SEQUENCES)


def test_a_reader_that_is_given_up_leaves_no_work_behind(readers, inputs, threads):
    torch.set_num_threads(2)
    read, given_up = [], threading.Event()

    def held(part: slice) -> tuple[torch.Tensor, torch.Tensor]:
        read.append(part)
        given_up.wait(30)
        return inputs["T2"](part)

    reading = pooled(readers, {"T1": inputs["T1"], "T2": held, "FLAIR": held})
    next(reading)
    reading.close()
    given_up.set()
    _wait_for_the_pool()
    assert len(read) <= 2  # what was begun: T2, and a part of FLAIR; the other part never was


def _wait_for_the_pool() -> None:
    pool = _pool(os.getpid(), 2)
    for done in [pool.submit(int) for _ in range(2)]:
        done.result()


@pytest.mark.parametrize(
    ("sequences", "count", "sizes"),
    [(3, 20, [[20], [20], [10, 10]]), (2, 23, [[23], [12, 11]]), (1, 1, [[1]])],
)
def test_sequences_are_read_whole_but_for_the_last(sequences, count, sizes):
    parts = parts_of(sequences, count)
    assert [[part.stop - part.start for part in sequence] for sequence in parts] == sizes
    assert all([n for part in own for n in range(part.start, part.stop)] == [*range(count)] for own in parts)


def test_threads_of_the_pool_compute_alone(threads):
    torch.set_num_threads(2)
    pool = _pool(os.getpid(), 2)
    assert {pool.submit(torch.get_num_threads).result() for _ in range(8)} == {1}
