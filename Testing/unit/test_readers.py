"""The three networks side by side give what one thread gives, to the bit."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import partial

import pytest
import torch
from GliomaGradingLib.networks.inference import FusedModel
from GliomaGradingLib.networks.network import TransferModel
from GliomaGradingLib.networks.readers import Input, Readers, _pool
from GliomaGradingLib.words import SEQUENCES

PIXELS, COUNT = 32, 20


@pytest.fixture(scope="module")
def readers() -> Readers:
    torch.manual_seed(0)
    return Readers({name: FusedModel(TransferModel("googlenet-2014"), PIXELS) for name in SEQUENCES})


@pytest.fixture(scope="module")
def inputs() -> dict[str, Input]:
    images = {name: torch.randn(COUNT, 3, PIXELS, PIXELS) for name in SEQUENCES}
    tumour = (torch.rand(COUNT, PIXELS, PIXELS) > 0.5).float()
    return {name: lambda own=own: (own, tumour) for name, own in images.items()}


def pooled(readers: Readers, inputs: dict[str, Input]) -> Iterator[tuple[str, torch.Tensor]]:
    return readers.judged(inputs, lambda _sequence, features: features)


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

    def fails() -> tuple[torch.Tensor, torch.Tensor]:
        raise ValueError("no slice")

    with pytest.raises(ValueError, match="no slice"):
        list(pooled(readers, {**inputs, "T2": fails}))
    assert len(list(pooled(readers, inputs))) == len(SEQUENCES)


def test_a_reader_that_is_given_up_leaves_no_work_behind(readers, inputs, threads, monkeypatch):
    torch.set_num_threads(2)
    monkeypatch.setattr(readers._models["FLAIR"], "pooled_from", lambda *_: read.append("FLAIR's rest"))
    read, given_up = [], threading.Event()

    def held(sequence: str) -> tuple[torch.Tensor, torch.Tensor]:
        read.append(sequence)
        given_up.wait(30)
        return inputs[sequence]()

    reading = pooled(readers, {**inputs, **{name: partial(held, name) for name in ("T2", "FLAIR")}})
    next(reading)
    reading.close()
    given_up.set()
    _wait_for_the_pool()
    assert read in (["FLAIR"], ["FLAIR", "T2"])  # what was begun; the rest of FLAIR never was


def _wait_for_the_pool() -> None:
    pool, everybody = _pool(os.getpid(), 2), threading.Barrier(2)
    for done in [pool.submit(everybody.wait, 30) for _ in range(2)]:
        done.result()


def test_two_threads_share_three_sequences_by_the_last_put_aside_half_way(
    readers, inputs, threads, monkeypatch
):
    torch.set_num_threads(2)
    order, begun, ended = [], FusedModel.shallow, FusedModel.pooled_from
    third = threading.Event()
    names = {id(model): name for name, model in readers._models.items()}

    def shallow(model, images):
        order.append((names[id(model)], "begun"))
        if names[id(model)] == "T1":
            third.wait(30)  # so that the other thread has to begin the next one
        elif names[id(model)] == "T2":
            third.set()
        return begun(model, images)

    def pooled_from(model, x3b, tumour):
        order.append((names[id(model)], "ended"))
        return ended(model, x3b, tumour)

    monkeypatch.setattr(FusedModel, "shallow", shallow)
    monkeypatch.setattr(FusedModel, "pooled_from", pooled_from)
    list(pooled(readers, inputs))
    assert {order[0], order[1]} == {("FLAIR", "begun"), ("T1", "begun")}
    assert order[2] == ("T2", "begun") and {name for name, what in order[3:] if what == "ended"} == set(
        SEQUENCES
    )


def test_threads_of_the_pool_compute_alone(threads):
    torch.set_num_threads(2)
    pool = _pool(os.getpid(), 2)
    assert {pool.submit(torch.get_num_threads).result() for _ in range(8)} == {1}
