"""Classification of items that have an image and a text, by a pair of encoders that were pre-trained apart.

A model is a pair, ``resnet50+nezha`` on ``latin+parameters_sklearn``: a network for the images and one for the
texts, which other pools have pre-trained. A pair is fine-tuned in two ways (``FUSIONS``):

============ ========================================================================================================
side_by_side one linear layer on the features of both, side by side: the sum of two linear layers, one loss
late         a linear layer and a loss for each encoder; the mean of the two probabilities decides
============ ========================================================================================================
"""

from collections.abc import Callable
from itertools import product
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...extraction import last_layer, weights
from ...extraction.devices import cuda_or_cpu
from ...extraction.samples import Captioned
from ...store.artifacts import Arrays
from .. import models, small_network_features, training
from ..datasets import captioned
from ..models import text as text_models
from ..recipes import PAIR
from . import classification, standard_error, steps, text
from .steps import Recipe

PARTS = ("images", "texts")
_BUILD = (models.build, text_models.build)
ARCHITECTURES = tuple(map(PAIR.join, product(classification.ARCHITECTURES, text.ARCHITECTURES)))
LOSSES = ("cross_entropy",)  # of the encoders' pre-training
DATASETS = (*captioned.NAMES, *map(PAIR.join, product(classification.DATASETS, text.DATASETS)))


def reader(name: str) -> ModuleType | None:
    """The module that draws a target; sources are read where the encoders are trained."""
    return None if PAIR in name else captioned


def load(name: str, split: str, max_per_class: int | None = None) -> Captioned:
    """A target's split ("train" or "test"), with at most ``max_per_class`` items of each class."""
    data = captioned.load(name, split)
    return data if max_per_class is None else data.limited(max_per_class)


class Pair(nn.Module):
    """Two networks that answer the same question, one from an item's image and one from its text."""

    def __init__(self, images: nn.Module, texts: nn.Module) -> None:
        super().__init__()
        self.images, self.texts = images, texts

    def forward(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Logits by the image and by the text, (2, n, K)."""
        return torch.stack([self.images(images), self.texts(text.without_padding(tokens))])


# The three steps ------------------------------------------------------------------------------------------------------


def pretrain(spec: dict, images_spec: dict, images: Arrays, texts_spec: dict, texts: Arrays) -> Arrays:
    """A pair of encoders as other pools have pre-trained them; ``accuracy`` is the mean of those on their sources."""
    both = dict(zip(PARTS, (images, texts), strict=True))
    return {
        "accuracy": np.mean([part["accuracy"] for part in both.values()]),
        "n_parameters": sum(part["n_parameters"] for part in both.values()),
        "n_features": sum(part["n_features"] for part in both.values()),
        "n_classes": images["n_classes"] * texts["n_classes"],  # a source class of a pair is a pair of source classes
        **{f"{name}_accuracy": part["accuracy"] for name, part in both.items()},
        **{
            f"{name}.{key}": part[key]
            for name, part in both.items()
            for key in part
            if key == "n_classes" or key.startswith(weights.KEPT)
        },
    }


def finetune(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """The ground truth: accuracies on the target's test split after training both networks on its train split.

    ``accuracy`` is that of ``side_by_side``, ``late`` that of ``late``. ``images`` and ``texts`` are those of the two
    late networks by themselves, each of which was trained by its own loss: what one modality reaches alone.
    ``without_texts`` and ``without_images``: the network of ``side_by_side``, tested on items that lack one modality;
    what the missing one would have added is replaced by its mean over the training items.
    """
    train, test = (load(spec["target"], split, spec["max_per_class"]) for split in ("train", "test"))
    recipe, history, answers = Recipe(**spec["recipe"]), [], {}
    for fusion in FUSIONS:
        pair = restore(pretrained_spec, pretrained)
        for network in (pair.images, pair.texts):
            last_layer.replace(network, train.n_classes, spec["seed"])
        history.append(fit(pair, inputs(pair, train), train.labels, recipe, spec["seed"], fusion))
        answers[fusion] = logits(pair, inputs(pair, test))  # (2, n, K)
        if fusion == "side_by_side":
            usual = logits(pair, inputs(pair, train)).mean(1, keepdim=True)  # (2, 1, K)
    whole, (of_images, of_texts) = answers["side_by_side"], answers["late"]
    shares = {
        "accuracy": whole.sum(0),
        "without_images": usual[0] + whole[1],
        "without_texts": whole[0] + usual[1],
        "late": answers["late"].softmax(-1).mean(0),
        "images": of_images,
        "texts": of_texts,
    }
    found = {name: 100 * float(np.mean(z.argmax(1).numpy() == test.labels)) for name, z in shares.items()}
    return {
        **{name: np.array(share) for name, share in found.items()},
        "standard_error": np.array(standard_error(found["accuracy"], len(test))),
        "loss": np.array(history),
    }


def extract(spec: dict, pretrained_spec: dict, pretrained: Arrays) -> Arrays:
    """What the metrics see of one split of the target: the features of both encoders side by side, and labels.

    ``widths``: how many features are of image and text. A pair of source classes has the product of its probabilities.
    """
    data = load(spec["target"], spec["split"], spec["max_per_class"])
    pair = restore(pretrained_spec, pretrained).to(cuda_or_cpu()).eval()
    seen, (_, tokens) = small_network_features.extract(pair.images, data.images), inputs(pair, data)
    with torch.inference_mode():
        read = torch.cat([pair.texts.features(text.without_padding(part)) for part in tokens.split(64)])  # (n, d_t)
        of_text = pair.texts.classifier(read).softmax(1).cpu().numpy()  # (n, K_t)
    probs = seen.source_probs[:, :, None] * of_text[:, None]  # (n, K_i, K_t)
    both = (seen.features, read.cpu().numpy())
    return {
        "features": np.concatenate(both, axis=1),
        "labels": data.labels,
        "source_probs": probs.reshape(len(data), -1),
        "widths": np.array([part.shape[1] for part in both]),
    }


def restore(spec: dict, arrays: Arrays) -> Pair:
    """The pair that `pretrain` left in ``arrays``."""
    networks = []
    for part, name, build in zip(PARTS, spec["architecture"].split(PAIR), _BUILD, strict=True):
        own = {key.removeprefix(f"{part}."): a for key, a in arrays.items() if key.startswith(f"{part}.")}
        networks.append(steps.restore(build, spec | {"architecture": name}, own))
    return Pair(*networks)


# Training and testing -------------------------------------------------------------------------------------------------

Inputs = tuple[Tensor, Tensor]  # images, and the tokens of the texts


def inputs(pair: Pair, data: Captioned) -> Inputs:
    """Items as ``pair`` sees them, where it runs."""
    tokens = text_models.tokenize(pair.texts.name, data.texts)
    return training.prepare(data.images).to(cuda_or_cpu()), tokens.to(cuda_or_cpu())


def fit(pair: Pair, items: Inputs, labels: np.ndarray, recipe: Recipe, seed: int, fusion: str) -> list[float]:
    """`steps.fit` by the loss of one of ``FUSIONS``."""

    def loss(pair: Pair, images: Tensor, tokens: Tensor, labels: Tensor) -> Tensor:
        return FUSIONS[fusion](pair(images, tokens), labels)

    return steps.fit(pair, (*items, torch.from_numpy(labels)), loss, recipe, seed)


def logits(pair: Pair, items: Inputs) -> Tensor:
    """What ``pair``, in evaluation mode, answers by image and by text: (2, n, K)."""
    pair.to(cuda_or_cpu()).eval()
    with torch.inference_mode():
        parts = zip(*(part.split(128) for part in items), strict=True)
        return torch.cat([pair(*part).cpu() for part in parts], 1)


# Losses: (logits by image and by text, labels) -> loss ----------------------------------------------------------------


def side_by_side(logits: Tensor, labels: Tensor) -> Tensor:
    r"""Cross-entropy of :math:`W_i h_i + W_t h_t`: one linear layer on the features :math:`[h_i, h_t]`.

    The mean of the two logits, another common way of fusing, is the same layer with half the weights.
    """
    return F.cross_entropy(logits.sum(0), labels)


def late(logits: Tensor, labels: Tensor) -> Tensor:
    """The cross-entropies of both answers, added: each encoder learns from its own loss."""
    return F.cross_entropy(logits[0], labels) + F.cross_entropy(logits[1], labels)


FUSIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {f.__name__: f for f in (side_by_side, late)}
