"""The three networks side by side: each thread reads a sequence alone.

Threads that share out a layer wait for one another at its end, some hundred times a case; threads that each
take a sequence of their own wait once. Sequences are read whole: of fewer slices a layer takes more time for
each, since its weights are read again. So that two threads share three sequences evenly, the last is begun
first and put aside half way, for the thread that is done with the first.
What is computed is the same however many threads there are: on some processors a product of another number of
rows is added up in another order, and the last digits of a grade would depend on the machine's cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

from .inference import FusedModel

T = TypeVar("T")

_ONE_AT_A_TIME = threading.Lock()
"""Who makes a pool asks for the number of threads, changes it and puts it back."""

Input = Callable[[], tuple[Tensor, Tensor]]
"""Makes the images (N, 3, H, W) and the tumour (N, H, W) of a sequence's slices."""


class Readers:
    """The models of the sequences.

    Args:
        models: by sequence, on one device.
    """

    def __init__(self, models: Mapping[str, FusedModel]) -> None:
        self._models = models

    def judged(self, inputs: Mapping[str, Input], judge: Callable[[str, Tensor], T]) -> Iterator[tuple[str, T]]:
        """Sequences in the order of ``inputs``, each with what ``judge`` makes of it.

        Args:
            inputs: by sequence; several threads call them.
            judge: of a sequence and the pooled features (N, features) of its slices. It is called on a thread
                that computes alone: the caller's own may share out even small sums, and would wait for cores
                that are busy with the next sequence.
        """

        def begin(sequence: str) -> tuple[Tensor, Tensor]:
            with torch.inference_mode():
                images, tumour = inputs[sequence]()
                return self._models[sequence].shallow(images), tumour

        def finish(sequence: str, begun: tuple[Tensor, Tensor]) -> T:
            with torch.inference_mode():
                return judge(sequence, self._models[sequence].pooled_from(*begun))

        def read(sequence: str) -> T:
            return finish(sequence, begin(sequence))

        def go_on() -> T:
            return finish(last, begun.result())  # it was begun before anything else: no thread waits long

        threads = min(torch.get_num_threads(), len(inputs))
        if self._on_gpu() or threads < 2:
            for sequence in inputs:
                yield sequence, read(sequence)
            return
        with _ONE_AT_A_TIME:
            pool = _pool(os.getpid(), threads)
        *others, last = inputs
        begun = pool.submit(begin, last)
        judged: dict[str, Future[T]] = {sequence: pool.submit(read, sequence) for sequence in others}
        judged[last] = pool.submit(go_on)
        try:
            for sequence, future in judged.items():
                yield sequence, future.result()
        finally:
            begun.cancel()
            for future in judged.values():
                future.cancel()

    def _on_gpu(self) -> bool:
        return any(model.output.mean.is_cuda for model in self._models.values())


@cache
def _pool(process: int, workers: int) -> ThreadPoolExecutor:
    """Threads of this process (a fork has none of its parent's) that compute alone, each with no more threads.

    A product that several threads share out is added up in another order: its last digits would depend on how
    many there are.
    """
    everybody = threading.Barrier(workers + 1)
    before = torch.get_num_threads()

    def begin() -> None:
        torch.get_num_threads()  # the first question to torch in a thread sets what is usual; not after us
        torch.set_num_threads(1)  # holds for the thread that says it, and for threads yet to come
        everybody.wait()

    pool = ThreadPoolExecutor(workers, "slices")
    try:
        for _ in range(workers):
            pool.submit(begin)
        everybody.wait()
    except BaseException:  # no thread can be started: those that were would wait for ever
        everybody.abort()
        pool.shutdown(wait=False)
        raise
    finally:
        torch.set_num_threads(before)
    return pool
