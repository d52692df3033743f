"""Features of images in memory, by the reduced networks."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from ..extraction import features, last_layer
from ..extraction.preprocessing import REDUCED
from . import training


class ReducedModel(features.Classifier):
    """A network for small images, which are in memory."""

    remedy = "its training diverged: train it again with a lower learning rate"
    normalise = staticmethod(training.prepare)

    def __init__(self, network: nn.Module):
        super().__init__(getattr(network, "name", type(network).__name__), network, REDUCED)

    def batches(self, images: np.ndarray | Tensor, size: int, place: torch.device) -> Iterator[Tensor]:
        """Batches of the images, in their order."""
        return (part.to(place) for part in torch.as_tensor(images).split(size))


def extract(network: nn.Module, images: np.ndarray | Tensor, batch_size: int = 64) -> features.Extracted:
    """Features and source probabilities of ``images`` by ``network``, in evaluation mode.

    Parameters
    ----------
    network : torch.nn.Module
        With the head it was pre-trained with, on any device.
    images : array of shape (n, 3, 32, 32), uint8
    batch_size : int
        Images per forward pass; no result depends on it beyond rounding.

    Raises
    ------
    ValueError
        If there are no images, they are not of this type and shape, or a feature is NaN or infinite.
    """
    return features.extract(ReducedModel(network), images, last_layer.find(network).weight.device, batch_size)
