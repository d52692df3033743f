"""A network and samples -> features and source probabilities: the one loop that takes them, of images and of texts.

`extract` is the loop; here are the models that look at images, in `text_models` those that read.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..store.schema import refuse_unknown
from . import devices, last_layer
from .batches import batches
from .folders import Photos
from .preprocessing import Transform, Wrapped
from .samples import Labelled

BATCH = {"cuda": 256, "cpu": 32}
DRAWN = 32  # samples that are prepared twice: a part that acts on one in ten is missed once in a thousand times
PRECISIONS = ("float32", "bfloat16")


class Extracted(NamedTuple):
    """What one model makes of n samples."""

    features: np.ndarray  # (n, d) float32, the input of the network's last layer
    source_probs: np.ndarray | None  # (n, K_s) float32, the network's own softmax; None where it has no classifier


class Model:
    """A network whose features can be taken.

    ``batches(data, size, place)`` are the samples on a device; ``model(batch)`` gives features (b, d), and source
    probabilities (b, K_s) or None.
    """

    sample = "sample"  # what one of them is called in messages
    remedy = "look at that sample, and at the model's weights"  # where a feature is not finite

    def __init__(self, name: str, network: nn.Module):
        self.name, self.network = name, network

    def called(self, data: Labelled | np.ndarray, i: int) -> str:
        """One of the samples, in a message."""
        return f"{self.sample} {i}"


class ImageModel(Model):
    """A network that may end in its classifier, and its preprocessing."""

    def __init__(self, name: str, network: nn.Module, transform: Transform | Wrapped):
        super().__init__(name, network)
        self.transform = transform
        self.altered: bool | None = None  # whether its features may be logits: what its last layer gives, altered

    def batches(self, photos: Photos, size: int, place: torch.device) -> Iterator[Tensor]:
        """Batches of the photographs, decoded and prepared ahead of the network."""
        return batches(lambda i: self._prepared(photos, i), range(len(photos)), size, place)

    def _prepared(self, photos: Photos, i: int) -> np.ndarray:
        image = photos.image(i)
        try:
            return self.transform(image)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error.__cause__

    def __call__(self, batch: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (b, d), and source probabilities (b, K_s) if the network ends in a classifier."""
        # Inference tensors do not know whether they were changed in place.
        with torch.inference_mode(False), torch.no_grad():
            images = self.normalise(batch)
            features, probs, self.altered = last_layer.split(self.network, images, self.name, self.altered)
        return features, probs

    def normalise(self, images: Tensor) -> Tensor:
        """What the network takes of a batch."""
        return self.transform.normalise(images)


class Classifier(ImageModel):
    """A network that is known to end in its classifier; with ``logits`` it gives them for source probabilities."""

    sample, remedy = "image", "look at that image, and at the network's weights"

    def __init__(self, name: str, network: nn.Module, transform: Transform, logits: bool = False):
        super().__init__(name, network, transform)
        self.last, self.logits = last_layer.find(network), logits

    def __call__(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Features (b, d) and source probabilities, or logits, (b, K_s)."""
        with last_layer.watch(self.last) as seen:
            logits = self.network(self.normalise(batch))
        return last_layer.mean_over_positions(seen[-1].inputs), logits if self.logits else logits.float().softmax(1)

    def called(self, data: Labelled | np.ndarray, i: int) -> str:
        """What an error calls sample ``i``: its file, if it has one."""
        sources = getattr(data, "sources", None)
        return str(sources[i]) if isinstance(sources, list) else super().called(data, i)


def extract(
    model: Model,
    data: Labelled | np.ndarray,
    place: torch.device,
    batch_size: int | None = None,
    on_batch: Callable[[int], None] = lambda n: None,
) -> Extracted:
    """Features and source probabilities of ``data`` by ``model``, in evaluation mode, in the order of ``data``.

    Parameters
    ----------
    model : Model
        Afterwards its network is where it was, and in the mode that it was in.
    data : Photos, Texts, or an array of images: what the model makes batches of
    place : torch.device
    batch_size : int, optional
        None starts with `BATCH` samples and halves that for as long as the device runs out of memory.
    on_batch : callable, optional
        Called after each batch with the number of samples done; the number is negative if they have to be done again.

    Raises
    ------
    ValueError
        If there are no samples, one cannot be read (its file is named), a feature is NaN or infinite, or the model
        returns something else than features or logits.
    """
    if len(data) == 0:
        raise ValueError(f"{model.name}: 0 {model.sample}s; allowed is one or more")
    size, on_gpu = batch_size or BATCH.get(place.type, 32), place.type == "cuda"
    while True:
        done, made = 0, None
        try:
            with devices.on_device(model.network, place), torch.no_grad(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", module=r"PIL\.")  # of EXIF data that nobody asked for
                for batch in model.batches(data, size, place):
                    parts = [x for x in model(batch) if x is not None]
                    n = len(parts[0])
                    made = made or [torch.empty(len(data), x.shape[1], device="cpu", pin_memory=on_gpu) for x in parts]
                    if [x.shape[1] for x in made] != [x.shape[1] for x in parts]:
                        raise ValueError(
                            f"{model.name}: its features are {made[0].shape[1]} wide for the first {model.sample}s and "
                            f"{parts[0].shape[1]} wide from {model.called(data, done)} on; allowed is one width"
                        )
                    for whole, part in zip(made, parts, strict=True):
                        whole[done : done + n].copy_(part, non_blocking=on_gpu)
                    done += n
                    on_batch(n)
            break
        except RuntimeError as error:
            if batch_size or size == 1 or not devices.is_out_of_memory(error):
                raise
        on_batch(-done)
        size //= 2
    if on_gpu:
        torch.cuda.synchronize(place)
    _check_finite(model, data, made)
    return Extracted(made[0].numpy(), made[1].numpy() if len(made) > 1 else None)


def is_steady(model: Model, data: Labelled, place: torch.device, features: np.ndarray) -> bool:
    """Whether the first and the last sample, in a new batch of two, have the same ``features`` as before. They differ
    with a transform for training, dropout that is never off, statistics of each batch, or attention drawn at random.

    As random parts of a reader's own transform or data set may act seldom, `DRAWN` samples are prepared twice for them.
    """
    ends = [0, len(data) - 1]
    try:
        if isinstance(model, ImageModel) and (isinstance(model.transform, Wrapped) or data.from_code):
            spread = data.take(np.linspace(*ends, DRAWN).round().astype(int))
            first, second = (next(model.batches(spread, DRAWN, torch.device("cpu"))) for _ in range(2))
            if not torch.allclose(first.float(), second.float(), rtol=1e-3, atol=1e-3, equal_nan=True):
                return False
        again = extract(model, data.take(ends), place).features
    except ValueError:  # it takes batches of one size only
        return True
    coarse = any(x.dtype in (torch.float16, torch.bfloat16) for x in model.network.parameters())
    difference = np.linalg.norm(again - features[ends], axis=1)
    return bool((difference <= (0.05 if coarse else 0.01) * np.linalg.norm(features[ends], axis=1)).all())


def _check_finite(model: Model, data: Labelled | np.ndarray, made: list[Tensor]) -> None:
    bad = ~torch.stack([x.isfinite().all(1) for x in made]).all(0)  # (n,)
    if bad.any():
        raise ValueError(
            f"{model.name}: features of {int(bad.sum())} of {len(bad)} {model.sample}s are NaN or infinite, the first "
            f"of {model.called(data, int(bad.nonzero()[0, 0]))}; {model.remedy}"
        )


def of_photos(
    network: nn.Module,
    photos: Photos,
    transform: Transform,
    precision: str = "float32",
    place: torch.device | None = None,
    logits: bool = False,
) -> Extracted:
    """Features and source probabilities of ``photos`` by a network that is known to end in its classifier.

    Parameters
    ----------
    network : torch.nn.Module
        With the last layer it was published with (`last_layer.find` finds it).
    photos : Photos
    transform : Transform
        The network's preprocessing.
    precision : {"float32", "bfloat16"}
        ``bfloat16`` computes inside the network with 8 bits of mantissa, about twice as fast on a GPU; what comes out
        is float32 either way.
    place : torch.device, optional
        None takes the GPU if there is one.
    logits : bool
        Give these in place of the source probabilities.

    Raises
    ------
    ValueError
        As for `extract`.
    """
    refuse_unknown("precision", precision, PRECISIONS)
    place = place or devices.cuda_or_cpu()
    name = f"{getattr(network, 'name', type(network).__name__)} on {photos.name}"
    model = Classifier(name, network.to(memory_format=torch.channels_last), transform, logits)
    if precision != "float32":
        model.remedy = "extract in float32"
    half = torch.autocast(place.type, torch.bfloat16, enabled=precision == "bfloat16")
    with half, torch.backends.cudnn.flags(enabled=True, benchmark=True):
        return extract(model, photos, place)
