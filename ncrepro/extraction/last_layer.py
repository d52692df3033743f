"""The last layer of a network: the one place that finds it, and takes its input, which the metrics call features.

`find` looks at the network's modules: enough where it is known to end in its classifier. `split` looks at what a
network computes: a reader's may have lost its head, end in a softmax, or hold its layers in any order.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models import SqueezeNet

from . import devices

_ONE = "one linear layer or convolution, so it has no penultimate layer; allowed are networks that do"


def heads(network: nn.Module) -> list[str]:
    """Where in ``network`` its last layer is: timm says so; else the last linear layer, else the last convolution.

    A distilled network of timm has two, one that was `cut` has none.
    """
    modules = {place: m for place, m in network.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
    if hasattr(network, "get_classifier"):
        last = network.get_classifier()
        last = last if isinstance(last, tuple) else (last,)
        inside = [set(head.modules()) if isinstance(head, nn.Module) else set() for head in last]
        found = [[place for place, module in modules.items() if module in parts] for parts in inside]
        found = [places[-1] for places in found if len(places) == 1]
    else:
        linear = [place for place, module in modules.items() if isinstance(module, nn.Linear)]
        found = (linear or list(modules))[-1:]
    if not found or any(isinstance(module, Cut) for module in network.modules()):
        raise ValueError(f"{_name(network)} does not end in {_ONE}")
    return found


class Cut(nn.Identity):
    """Stands where the last layer was."""


def cut(network: nn.Module) -> None:
    """Take the last layer away, so that ``network`` returns its features."""
    for place in heads(network):
        network.set_submodule(place, Cut())


def path(network: nn.Module) -> str:
    """Where in ``network`` its one last layer is."""
    found = heads(network)
    if len(found) > 1:
        raise ValueError(f"{_name(network)} ends in {len(found)} layers side by side, not in {_ONE}")
    return found[0]


def _name(network: nn.Module) -> str:
    return getattr(network, "name", type(network).__name__)


def find(network: nn.Module) -> nn.Linear | nn.Conv2d:
    """The last layer of ``network``."""
    return network.get_submodule(path(network))


def width(network: nn.Module) -> int:
    """Width d of the features."""
    last = network.get_submodule(heads(network)[0])
    return last.in_features if isinstance(last, nn.Linear) else last.in_channels


def n_outputs(network: nn.Module) -> int:
    """How many outputs the last layer has."""
    return len(network.get_submodule(heads(network)[0]).weight)


@contextmanager
def seeded_weights(n_classes: int, seed: int) -> Iterator[None]:
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
    with seeded_weights(n_classes, seed):
        if isinstance(old, nn.Linear):
            new = nn.Linear(old.in_features, n_classes)
        else:
            new = nn.Conv2d(old.in_channels, n_classes, old.kernel_size, padding=old.padding)
        initialise(new)
    network.set_submodule(where, new.to(old.weight.device))


def mean_over_positions(inputs: Tensor) -> Tensor:
    """Features (n, d) from the input of the last layer: its mean over positions where it has any (SqueezeNet)."""
    return inputs.mean(tuple(range(2, inputs.ndim))) if inputs.ndim > 2 else inputs


# What goes through it -------------------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """What went into a layer and came out, and how often that had been changed in place."""

    inputs: Tensor
    output: Tensor
    version: int | None  # not known of inference tensors
    kind: torch.dtype  # of the output, which is dense here where it was quantised
    turn: int = 0  # how many layers with weights had been used before


class Output(NamedTuple):
    """What a network makes of images."""

    features: Tensor  # (n, d)
    source_probs: Tensor | None  # (n, K_s)
    altered: bool = False  # whether the features are what the last layer gives, altered: they may be logits


@contextmanager
def watch(*layers: nn.Module) -> Iterator[list[Seen]]:
    """What goes through ``layers`` while the context lasts, in the order of use."""
    seen: list[Seen] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if inputs and isinstance(output, Tensor) and (output.ndim == 2 or isinstance(layer, nn.Conv2d)):
            seen.append(_seen(inputs[0], output))

    with ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(layer.register_forward_hook(keep))
        yield seen


def _seen(inputs: Tensor, output: Tensor) -> Seen:
    kind = output.dtype
    inputs, output = (x.dequantize() if x.is_quantized else x for x in (inputs, output))
    return Seen(inputs, output, None if output.is_inference() else output._version, kind)


def split(network: nn.Module, images: Tensor, name: str, altered: bool | None = None) -> Output:
    """Features (n, d) of images, and source probabilities (n, K_s), or None where there is no classifier at the end.

    ``name`` is the network's, for messages, and ``altered`` what was found of the batches before. Whether a last linear
    layer, or convolution of one pixel, is a classifier or an embedding cannot be told: it counts as a classifier,
    unless its output is changed before it is returned, as by normalising it. The mean over positions is no such change.
    A single output is no classifier's.

    Raises
    ------
    ValueError
        If the network returns something else than logits or features, or its layers cannot be seen.
    """
    kind = next((p.dtype for p in network.parameters() if p.is_floating_point()), images.dtype)
    try:
        out, seen, last, ran = _run(network, images.to(kind))
    except Exception as error:
        reason, shape = devices.error_line(error, name), tuple(images.shape[1:])
        if isinstance(error, (RuntimeError, AssertionError)) and not isinstance(error, NotImplementedError):
            raise ValueError(
                f"{name} cannot take images of shape {shape} ({reason}): give it with a transform that makes what it "
                "reads, as models={'name': (network, transform)}"
            ) from error
        raise ValueError(
            f"{name} cannot take a batch of {len(images)} images of shape {shape} ({type(error).__name__}: {reason}): "
            "wrap it in a torch.nn.Module that takes images alone"
        ) from error
    if not isinstance(out, Tensor) or out.ndim not in (2, 4) or len(out) != len(images):
        shape = f" of shape {tuple(out.shape)} for a batch of {len(images)}" if isinstance(out, Tensor) else ""
        raise ValueError(
            f"{name} returns a {type(out).__name__}{shape}; allowed are logits (n, classes) or features (n, d): if it "
            "returns several things, wrap it so that it returns one of them"
        )
    if not out.is_floating_point() or out.layout is not torch.strided:
        raise ValueError(
            f"{name} returns numbers of type {out.dtype} ({out.layout}); allowed are dense floating-point logits or "
            "features: wrap it so that it returns them"
        )
    if ran and _are_channels_last(out, ran[-1]):
        out = out.movedim(-1, 1)
    features = mean_over_positions(out)
    if out.shape[2:].numel() == 1:
        out = out.flatten(1)
    rectified = any(isinstance(module, SqueezeNet) for module in network.modules())
    for layer in reversed(seen):
        probs = _probabilities(layer, out, rectified)
        if probs is not None:
            return Output(mean_over_positions(layer.inputs), probs if probs.shape[1] > 1 else None)
    if heads := _of_two_heads(seen, out, ran):
        return Output(*heads)
    if any(isinstance(part, torch.jit.ScriptModule) and list(part.parameters()) for part in network.modules()):
        raise ValueError(
            f"{name} is TorchScript, so its last layer cannot be found: give the torch.nn.Module that it was made of"
        )
    if not ran and list(network.parameters()):
        raise ValueError(
            f"{name} holds weights but calls no layer, as an exported network does, so its last layer cannot be found: "
            "give the torch.nn.Module that it was made of"
        )
    if altered is None:
        altered = bool(last) and _is_made_of_heads(network, images.to(kind), [*seen, *last], out)
    return Output(features, None, altered)


def _run(network: nn.Module, images: Tensor) -> tuple[object, list[Seen], list[Seen], list[nn.Module]]:
    """What a network returns of images, and what `_watch_all` saw of it."""
    try:
        with _watch_all(network) as watched:
            return network(images), *watched
    except RuntimeError as error:
        if "view size is not compatible" not in str(error):
            raise
    with _watch_all(network) as watched:  # its `view` reads the channels first, which lie last in memory
        return network(images.contiguous()), *watched


@contextmanager
def _watch_all(network: nn.Module) -> Iterator[tuple[list[Seen], list[Seen], list[nn.Module]]]:
    """What goes through the layers that may be a head while the context lasts, in the order of use, positions last; the
    last layer with weights if these are a matrix; and the layers that were used.

    Of the layers with an output for each position, only the last layer with weights is kept: all of them would take
    much memory, and a layer before a normalisation is no head.
    """
    seen: list[Seen] = []
    last: list[Seen] = []
    ran: list[nn.Module] = []

    def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ran.append(layer)
        seen[:] = [one for one in seen if one.output.ndim == 2]
        last.clear()
        if inputs and isinstance(output, Tensor) and _mixes(layer) and output.ndim > 1:
            first, made = inputs[0], output
            if isinstance(layer, nn.Linear) and output.ndim > 2:
                first, made = first.movedim(-1, 1), made.movedim(-1, 1)
            last.append(_seen(first, made)._replace(turn=len(ran) - 1))
            if _may_be_head(layer):
                seen.extend(last)

    with ExitStack() as hooks:
        for layer in _with_weights(network):
            hooks.enter_context(layer.register_forward_hook(keep))
        yield seen, last, ran


def _are_channels_last(out: Tensor, layer: nn.Module) -> bool:
    """Whether maps (n, height, width, channels) are returned, as by Swin: then their last side is as wide as the last
    layer with weights. If the second side is as wide too, channels come first, as in torch's convolutions. They also
    come first if the last side is 1, as after pooling to one position.
    """
    widths = ("out_features", "out_channels", "num_features", "num_channels", "normalized_shape")
    width = next((getattr(layer, name) for name in widths if hasattr(layer, name)), None)
    width = width[-1] if isinstance(width, tuple) else width
    return out.ndim == 4 and width == out.shape[-1] != 1 and width != out.shape[1]


def _mixes(layer: nn.Module) -> bool:
    """Whether each output of a layer rests on several inputs: true if its weights are a matrix, false for a
    normalisation.
    """
    own = layer.parameters(recurse=False)
    matrix = any(sum(side > 1 for side in x.shape) > 1 for x in own) and not isinstance(layer, nn.LayerNorm)
    return matrix or _may_be_head(layer)


def _may_be_head(layer: nn.Module) -> bool:
    """Also a layer that says how wide its inputs and outputs are, as quantised ones and those of cosines do."""
    if isinstance(layer, nn.Linear):
        return True
    if isinstance(layer, nn.Conv2d):
        return layer.kernel_size == (1, 1)
    inner = [x for child in layer.children() for x in child.parameters()]
    return isinstance(getattr(layer, "in_features", None), int) and hasattr(layer, "out_features") and not inner


def _with_weights(network: nn.Module) -> list[nn.Module]:
    """The layers of a network: what has weights or statistics, a single number aside, and no such module inside."""
    modules = [module for module in network.modules() if not isinstance(module, torch.jit.ScriptModule)]
    own = {
        module
        for module in modules
        if any(x.numel() > 1 for x in (*module.parameters(recurse=False), *module.buffers(recurse=False)))
    }
    return [m for m in modules if _may_be_head(m) or (m in own and own.isdisjoint(list(m.modules())[1:]))]


def _probabilities(layer: Seen, out: Tensor, rectified: bool) -> Tensor | None:
    """Source probabilities, if a layer's output *is* what the network returns, or its mean over positions is: logits,
    their softmax, or its logarithm. ``rectified``: after a ReLU, as in SqueezeNet, too.
    """
    logits, unchanged = layer.output, layer.version is None or layer.output._version == layer.version
    if logits.shape[:2] != out.shape:
        return None
    if logits.numel() == out.numel() and logits.untyped_storage().data_ptr() == out.untyped_storage().data_ptr():
        return out.float().softmax(1) if unchanged else None  # an activation in place makes features of it
    if unchanged and layer.kind != out.dtype and torch.equal(logits.to(out.dtype), out):  # returned in float32, say
        return out.float().softmax(1)
    if logits.ndim == 2:
        means = [logits]
    else:
        means = [
            mean_over_positions(z)
            for z in ((logits, logits.relu()) if rectified else (logits,))
            if rectified or unchanged
        ]
        if any(_same(mean, out) for mean in means):
            return out.float().softmax(1)
    coarse = max(torch.finfo(x.dtype).eps for x in (logits, out))
    for probs in (out.float(), out.float().exp()):
        if _are_distributions(probs, coarse):
            if any(_is_softmax(probs, mean.float(), coarse) for mean in means):
                return probs if out.dtype in (torch.float32, torch.float64) else probs / probs.sum(1, keepdim=True)
    return None


def _are_distributions(probs: Tensor, coarse: float = 0.0) -> bool:
    return bool(probs.min() >= 0) and _same(probs.sum(1), torch.ones_like(probs[:, 0]), coarse)


def _is_softmax(probs: Tensor, logits: Tensor, coarse: float) -> bool:
    """Whether a distribution is the softmax of logits at some temperature: that of an ensemble's mean, say, is not."""
    logs = probs.clamp_min(torch.finfo(probs.dtype).tiny).log()
    apart, logs = (x - (probs * x).sum(1, keepdim=True) for x in (logits, logs))
    slope = (probs * apart * logs).sum(1, keepdim=True) / (probs * apart**2).sum(1, keepdim=True)
    slope = slope.nan_to_num(nan=1e6, posinf=1e6).clamp_min(0)  # not a number where one class has it all
    return _same((slope * apart).softmax(1), probs, coarse)


def _is_made_of_heads(network: nn.Module, images: Tensor, seen: list[Seen], out: Tensor) -> bool:
    """Whether the output rests on nothing but what the last layers give, however that is put together.

    Two images go through the network, then two others, for which the layers give what they gave for the first two: if
    the network returns the same as before, it has looked at nothing else. Layers that are not needed for this are left
    out, the first ones first. What is kept may not feed another layer, as it does where a sum goes around one, nor go
    through a ReLU or its like, which makes zeros of -8 and less. Layers with several positions count where they are as
    wide as the output. What does not run on two images may be made of its heads.
    """
    turns = sorted({x.turn for x in seen if x.output.ndim == 2 or x.output.shape[1] == out.shape[1]})
    if not turns:
        return False
    first = images[[0, -1]]
    others = first.flip(0, -1)
    try:
        made, _, outputs = _replay(network, first, turns, {})
        plain, inputs, _ = _replay(network, others, turns, {})

        def suffice(kept: list[int]) -> bool:
            return torch.equal(_replay(network, others, turns, {turn: outputs[turn] for turn in kept})[0], made)

        kept = turns[-1:]
        if torch.equal(plain, made) or not (suffice(kept) or suffice(kept := turns)):
            return False
        for turn in turns if len(kept) > 1 else ():
            fewer = [other for other in kept if other != turn]
            if fewer and suffice(fewer):
                kept = fewer
        low, again, _ = _replay(network, others, turns, {turn: -8 - outputs[turn].abs() for turn in kept})
        rectified = not (torch.equal(low == 0, made == 0) or _are_distributions(made))
    except Exception:  # a network may raise errors of any type
        return True
    return not rectified and all(torch.equal(again[turn], inputs[turn]) for turn in turns)


def _replay(
    network: nn.Module, images: Tensor, turns: list[int], given: dict[int, Tensor]
) -> tuple[Tensor, dict[int, Tensor], dict[int, Tensor]]:
    """What a network returns of images, and what went into and came out of the layers used in these turns, where
    ``given`` takes the place of what came out.
    """
    inputs, outputs, turn = {}, {}, itertools.count()

    def keep(layer: nn.Module, taken: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        if (now := next(turn)) in turns:
            inputs[now], outputs[now] = taken[0].clone(), output.clone()  # they may be changed in place
        return given[now].clone() if now in given else None

    with ExitStack() as hooks:
        for layer in _with_weights(network):
            hooks.enter_context(layer.register_forward_hook(keep))
        return network(images.contiguous()), inputs, outputs


def _of_two_heads(seen: list[Seen], out: Tensor, ran: list[nn.Module]) -> tuple[Tensor, Tensor] | None:
    """Features and source probabilities of a network that returns the mean of two heads, as a distilled DeiT does, or
    of one head that sees two views. Two heads of one body have no layer between them that makes other features: the
    units of two bodies have nothing to do with each other, so that their mean would mean nothing.
    """
    if len(seen) < 2:
        return None
    one, other = seen[-2:]
    if one.inputs.shape != other.inputs.shape or one.output.shape != other.output.shape:
        return None
    if ran[one.turn] is not ran[other.turn] and any(_mixes(layer) for layer in ran[one.turn + 1 : other.turn]):
        return None
    if not _same((one.output + other.output) / 2, out):
        return None
    return (one.inputs + other.inputs) / 2, out.float().softmax(1)


def _same(one: Tensor, other: Tensor, coarse: float = 0.0) -> bool:
    """Whether two tensors are alike; ``coarse`` is the precision of what they were computed in."""
    near = {"rtol": max(1e-3, 4 * coarse), "atol": max(1e-5, coarse / 10)}
    return one.shape == other.shape and torch.allclose(one.float(), other.float(), **near)
