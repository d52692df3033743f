"""Images -> batches on a device, as fast as the network takes them.

Threads decode the next batches while the network works on this one: Pillow lets go of Python's lock while it decodes
and resizes, so threads keep all cores busy, need no copies between processes, and an error keeps its own words.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

AHEAD = 3  # batches that are prepared while one is used


def loaders() -> int:
    """Threads that decode: ``NCREPRO_LOADERS`` if set, else half the cores: two networks run side by side."""
    return int(os.environ.get("NCREPRO_LOADERS") or max(1, (os.cpu_count() or 2) // 2))


def batches(
    prepare: Callable[[int], np.ndarray], order: Sequence[int], size: int, place: torch.device
) -> Iterator[Tensor]:
    """uint8 batches (b, 3, h, w), laid out channels-last, on a device: ``size`` images each, the last one what is left.

    Parameters
    ----------
    prepare : callable
        Position of an image -> uint8 array (h, w, 3); called by several threads at a time.
    order : sequence of int
        Positions, in the order wanted.
    size : int
    place : torch.device
    """
    parts = (order[start : start + size] for start in range(0, len(order), size))
    threads = ThreadPoolExecutor(loaders())
    waiting: deque = deque()
    try:
        for part in parts:
            waiting.append([threads.submit(prepare, i) for i in part])
            if len(waiting) > AHEAD:
                yield _together(waiting.popleft(), place)
        while waiting:
            yield _together(waiting.popleft(), place)
    finally:
        threads.shutdown(cancel_futures=True)


def _together(images: list, place: torch.device) -> Tensor:
    images = [image.result() for image in images]
    shapes = sorted({image.shape for image in images})
    if len(shapes) > 1:
        some = f"{len(shapes)} sizes, such as {shapes[0]} and {shapes[-1]}"
        raise ValueError(f"the transform gives images of {some}; resize and crop them to one")
    batch = torch.from_numpy(np.stack(images))  # (b, h, w, 3)
    if place.type == "cuda":
        batch = batch.pin_memory().to(place, non_blocking=True)
    return batch.permute(0, 3, 1, 2)  # (b, 3, h, w), in memory as before: channels-last
