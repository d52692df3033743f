"""The last layer of a network: the one place that finds it, and takes its input, which the metrics call features.

`find` looks at the network's modules: enough where it is known to end in its classifier. `split` looks at what a
network computes: a reader's may have lost its head, end in a softmax, or hold its layers in any order.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

import torch
from torch import Tensor, nn

# Whose networks may end in a convolution that is the classifier.
CONVOLUTIONAL = ("torchvision.models.squeezenet", "timm.")


def path(network: nn.Module) -> str:
    """Where in ``network`` its last layer is: timm says so; else the last linear layer, else the last convolution."""
    modules = dict(network.named_modules())
    if hasattr(network, "get_classifier"):
        last = network.get_classifier()
        found = [path for path, module in modules.items() if module is last]
    else:
        linear, convolutions = (
            [p for p, m in modules.items() if isinstance(m, kind)] for kind in (nn.Linear, nn.Conv2d)
        )
        found = linear or convolutions
    if not found or not isinstance(modules[found[-1]], (nn.Linear, nn.Conv2d)):
        name = getattr(network, "name", type(network).__name__)
        raise ValueError(
            f"{name} does not end in one linear layer or convolution, so it has no penultimate layer; allowed are "
            "networks that do"
        )
    return found[-1]


def find(network: nn.Module) -> nn.Linear | nn.Conv2d:
    """The last layer of ``network``."""
    return network.get_submodule(path(network))


def width(network: nn.Module) -> int:
    """Width d of the features."""
    last = find(network)
    return last.in_features if isinstance(last, nn.Linear) else last.in_channels


def n_outputs(network: nn.Module) -> int:
    """How many outputs the last layer has."""
    return len(find(network).weight)


@contextmanager
def seeded(n_classes: int, seed: int) -> Iterator[None]:
    """Random weights of a network with so many outputs are drawn from ``seed`` while the context lasts; the global
    random state is left as it was.

    Raises
    ------
    ValueError
        If there are fewer than 2 classes.
    """
    if n_classes < 2:
        raise ValueError(f"n_classes is {n_classes}; allowed is 2 or more")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def replace(
    network: nn.Module, n_classes: int, seed: int, initialise: Callable[[nn.Module], None] = lambda layer: None
) -> None:
    """Put in a new last layer with seeded random weights: torch's own, or what ``initialise`` makes of them."""
    where, old = path(network), find(network)
    with seeded(n_classes, seed):
        if isinstance(old, nn.Linear):
            new = nn.Linear(old.in_features, n_classes)
        else:
            new = nn.Conv2d(old.in_channels, n_classes, old.kernel_size, padding=old.padding)
        initialise(new)
    network.set_submodule(where, new.to(old.weight.device))


def pooled(inputs: Tensor) -> Tensor:
    """Features (n, d) from the input of the last layer: its mean over positions where it has any (SqueezeNet)."""
    return inputs.mean((2, 3)) if inputs.ndim == 4 else inputs


# What goes through it -------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What went into a layer and came out, and how often that had been changed in place."""

    inputs: Tensor
    output: Tensor
    version: int | None  # not known of inference tensors


@contextmanager
def watch(*layers: nn.Module) -> Iterator[list[Seen]]:
    """What goes through ``layers`` while the context lasts, in the order of use."""
    seen: list[Seen] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if inputs and isinstance(output, Tensor) and (output.ndim == 2 or isinstance(layer, nn.Conv2d)):
            seen.append(Seen(inputs[0], output, None if output.is_inference() else output._version))

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def split(network: nn.Module, images: Tensor, name: str) -> tuple[Tensor, Tensor | None]:
    """Features (n, d) of images, and source probabilities (n, K_s), or None where there is no classifier at the end.

    ``name`` is the network's, for messages. Whether a last linear layer is a classifier or an embedding cannot be told:
    it counts as a classifier, unless its output is changed before it is returned, as by normalising it.

    Raises
    ------
    ValueError
        If the network returns something else than logits or features.
    """
    with watch(*_candidates(network)) as seen:
        out = network(images)
    if not isinstance(out, Tensor) or out.ndim not in (2, 4) or len(out) != len(images):
        shape = f" of shape {tuple(out.shape)}" if isinstance(out, Tensor) else ""
        raise ValueError(
            f"{name} returns a {type(out).__name__}{shape}; allowed are logits (n, classes) or features (n, d): if it "
            "returns several things, wrap it so that it returns one of them"
        )
    for layer in reversed(seen):
        probs = _probabilities(layer, out)
        if probs is not None:
            return pooled(layer.inputs), probs
    return _of_two_heads(seen, out) or (pooled(out), None)


def _candidates(network: nn.Module) -> list[nn.Module]:
    network = getattr(network, "_orig_mod", network)  # of what torch.compile made
    layers = {layer for layer in network.modules() if isinstance(layer, nn.Linear)}
    if type(network).__module__.startswith(CONVOLUTIONAL):
        with suppress(ValueError):  # it has no classifier
            layers.add(find(network))
    return list(layers)


def _probabilities(layer: Seen, out: Tensor) -> Tensor | None:
    """Source probabilities, if a layer's output *is* what the network returns: logits, their softmax, or its
    logarithm.
    """
    logits = layer.output
    if logits.ndim == 4 and out.ndim == 2:  # a convolution, averaged over its positions: in SqueezeNet after a ReLU
        return out.softmax(1) if any(_same(z.mean((2, 3)), out) for z in (logits, logits.relu())) else None
    if logits.shape != out.shape:
        return None
    if logits.untyped_storage().data_ptr() == out.untyped_storage().data_ptr():
        return out.softmax(1) if out._version == layer.version else None  # an activation in place makes features of it
    top = logits.argmax(1, keepdim=True)
    for probs in (out, out.exp()):
        is_distribution = probs.min() >= 0 and _same(probs.sum(1), torch.ones_like(probs[:, 0]))
        if is_distribution and _same(probs.gather(1, top)[:, 0], probs.amax(1)):
            return probs
    return None


def _of_two_heads(seen: list[Seen], out: Tensor) -> tuple[Tensor, Tensor] | None:
    """Features and source probabilities of a network that returns the mean of two heads, as a distilled DeiT does."""
    if len(seen) < 2:
        return None
    one, other = seen[-2:]
    if one.inputs.shape != other.inputs.shape or one.output.shape != other.output.shape:
        return None
    return ((one.inputs + other.inputs) / 2, out.softmax(1)) if _same((one.output + other.output) / 2, out) else None


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one.float(), other.float(), rtol=1e-3, atol=1e-5)
