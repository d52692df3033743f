"""A trained network and images -> what the metrics look at: penultimate activations and source probabilities."""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from . import models, training


class Extracted(NamedTuple):
    """What one model makes of n images."""

    features: np.ndarray  # (n, d) float32, the input of the model's last linear layer
    source_probs: np.ndarray  # (n, K_s) float32, the model's own softmax over its K_s source classes


def extract(model: nn.Module, images: np.ndarray | torch.Tensor, batch_size: int = 256) -> Extracted:
    """Features and source probabilities of ``images`` by ``model``, in evaluation mode.

    Parameters
    ----------
    model : torch.nn.Module
        A network with the head it was pre-trained with, on any device.
    images : array of shape (n, 3, 32, 32), uint8
    batch_size : int
        Images per forward pass; no result depends on it beyond rounding.

    Returns
    -------
    Extracted
        ``features`` of shape (n, d) and ``source_probs`` of shape (n, K_s), both float32.

    Raises
    ------
    ValueError
        If there are no images, they are not of this type and shape, or a feature is NaN or infinite.
    """
    if len(images) == 0:
        raise ValueError("0 images; allowed is one or more")
    head = models.classifier(model)
    device = head.weight.device
    seen: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].cpu()))
    model.eval()
    try:
        with torch.inference_mode():
            probs = [model(part.to(device)).softmax(1).cpu() for part in training.prepare(images).split(batch_size)]
    finally:
        hook.remove()
    features, probs = torch.cat(seen), torch.cat(probs)  # (n, d), (n, K_s)
    if not (features.isfinite().all() and probs.isfinite().all()):
        bad = int((~features.isfinite()).any(1).sum())
        name = getattr(model, "name", type(model).__name__)
        raise ValueError(
            f"{name}: features of {bad} of {len(features)} images are NaN or infinite; its training diverged: "
            "train it again with a lower learning rate"
        )
    return Extracted(features.numpy(), probs.numpy())
