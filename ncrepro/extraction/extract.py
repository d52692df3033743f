"""A published network and photographs -> features, labels and source probabilities, as fast as the network allows.

Threads decode the next batches while the network works on this one: Pillow lets go of Python's lock while it decodes and
resizes, so threads keep all cores busy, need no copies between processes, and an error keeps its own words.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..store.schema import unknown
from . import networks as models
from .folders import Photos
from .networks import Transform

AHEAD = 3  # batches that are prepared while one is used
BATCH = {"cuda": 256, "cpu": 32}
PRECISIONS = ("float32", "bfloat16")


class Extracted(NamedTuple):
    """What one network makes of n photographs, and how it was made."""

    features: np.ndarray  # (n, d) float32, the input of the network's last layer
    source_probs: np.ndarray  # (n, K_s) float32, the network's own softmax over its K_s source classes
    record: dict  # device, precision, versions


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def loaders() -> int:
    """Threads that decode: ``NCREPRO_LOADERS`` if set, else half the cores, one at least (two networks run side by side)."""
    return int(os.environ.get("NCREPRO_LOADERS") or max(1, (os.cpu_count() or 2) // 2))


def extract(network: nn.Module, photos: Photos, transform: Transform, precision: str = "float32",
            on: torch.device | None = None) -> Extracted:
    """Features and source probabilities of ``photos`` by ``network``, in evaluation mode.

    Parameters
    ----------
    network : torch.nn.Module
        With the last layer it was published with (`models.torchvision_models.head` finds it).
    photos : Photos
    transform : Transform
        The network's preprocessing.
    precision : {"float32", "bfloat16"}
        ``bfloat16`` computes inside the network with 8 bits of mantissa, about twice as fast on a GPU; what comes out is
        float32 either way.
    on : torch.device, optional
        None takes the GPU if there is one.

    Returns
    -------
    Extracted
        ``features`` of shape (n, d), ``source_probs`` of shape (n, K_s), in the order of ``photos``.

    Raises
    ------
    ValueError
        If there are no photographs, one cannot be read (its file is named), or a feature is NaN or infinite.
    """
    place = on or device()
    features, logits = forward(network, photos, transform, precision, place)
    return Extracted(features.numpy(), logits.softmax(1).numpy(), versions(place, precision))


def forward(network: nn.Module, photos: Photos, transform: Transform, precision: str, place: torch.device) -> tuple[Tensor, Tensor]:
    """Features (n, d) and logits (n, K_s) on the CPU, float32; parameters and errors as for `extract`."""
    if len(photos) == 0:
        raise ValueError(f"{photos.name}: 0 images; allowed is one or more")
    if precision not in PRECISIONS:
        raise ValueError(unknown("precision", precision, PRECISIONS))
    head, on_gpu = models.head(network), place.type == "cuda"
    network.to(place, memory_format=torch.channels_last).eval()
    features = torch.empty(len(photos), models.n_features(network), pin_memory=on_gpu)
    logits = torch.empty(len(photos), len(head.weight), pin_memory=on_gpu)
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    half = torch.autocast(place.type, torch.bfloat16, enabled=precision == "bfloat16")
    start = 0
    try:
        with torch.inference_mode(), half, torch.backends.cudnn.flags(enabled=True, benchmark=True):
            for batch in batches(lambda i: transform(photos.image(i)), range(len(photos)), BATCH[place.type], place):
                end = start + len(batch)
                logits[start:end].copy_(network(transform.normalise(batch)), non_blocking=True)  # (b, K_s)
                features[start:end].copy_(models.penultimate(seen.pop()), non_blocking=True)  # (b, d)
                start = end
    finally:
        hook.remove()
    if on_gpu:
        torch.cuda.synchronize(place)
    _check_finite(network, photos, features, logits, precision)
    return features, logits


def batches(prepare: Callable[[int], np.ndarray], order: Sequence[int], size: int, place: torch.device) -> Iterator[Tensor]:
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


def _check_finite(network: nn.Module, photos: Photos, features: Tensor, logits: Tensor, precision: str) -> None:
    bad = ~(features.isfinite().all(1) & logits.isfinite().all(1))  # (n,)
    if bad.any():
        first = int(bad.nonzero()[0, 0])
        where = f"image {first}" if isinstance(photos.sources, np.ndarray) else photos.sources[first]
        remedy = "extract in float32" if precision != "float32" else "look at that image, and at the network's weights"
        raise ValueError(
            f"{getattr(network, 'name', type(network).__name__)} on {photos.name}: features of {int(bad.sum())} of {len(bad)} "
            f"images are NaN or infinite, the first of {where}; {remedy}"
        )


def versions(place: torch.device, precision: str) -> dict[str, str]:
    """What computed: device, precision, versions of the libraries."""
    import torchvision

    name = torch.cuda.get_device_name(place) if place.type == "cuda" else "CPU"
    return {"device": name, "precision": precision, "torch": torch.__version__, "torchvision": torchvision.__version__}
