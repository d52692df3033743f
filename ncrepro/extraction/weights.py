"""Weights -> a network: files of PyTorch and safetensors, whatever a training run put around or before the names.

`arrays` and `restore` are for the artefacts that the lab keeps.
"""

import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")  # names with these ends mean files, even missing ones
PICKLED = (b"PK", b"\x80")  # what a file of torch.save begins with, today's and that of before 2020
KEPT = "weights."  # what the names of a network's arrays begin with in our own artefacts

AVERAGE = re.compile(r"(^|[._])(ema|swa|averaged?|shadow|encoder_k)[._]", re.IGNORECASE)
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # classifiers that only the pre-training of GoogLeNet and Inception used


def read(file: Path) -> dict[str, Tensor]:
    """The weights in a PyTorch or safetensors file; nothing but weights is ever unpickled.

    Returns
    -------
    dict
        Every tensor in the file by its name; where a training run nested its state dict, with the keys above in front:
        ``state_dict.conv1.weight``.

    Raises
    ------
    ValueError
        If the file is torn or holds anything else.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is no file of torch's
            with file.open("rb") as stream:
                first = stream.read(9)
                pickled = first.startswith(PICKLED) and first[8:] != b"{"  # safetensors: eight bytes, any, and JSON
                stream.seek(0)  # torch.load goes by the suffix of a path
                content = torch.load(stream, map_location="cpu", weights_only=True) if pickled else load_file(file)
    except Exception as error:  # what is no file of weights raises errors of any type
        raise ValueError(
            f"{file} is not a state dict ({type(error).__name__}: {str(error)[:100]}): remove it if it was downloaded; "
            "if it is yours, save network.state_dict() there, with torch.save or safetensors"
        ) from None
    state = dict(_tensors(content))
    if not state:
        raise ValueError(f"{file} holds a {type(content).__name__}, not a state dict: save network.state_dict() there")
    return state


def _tensors(content: object, above: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor) and above:
        yield above, content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from _tensors(value, f"{above}.{key}" if above else str(key))


def adapt_names(state: dict[str, Tensor], network: nn.Module, file: Path) -> dict[str, Tensor]:
    """What `read` found in ``file``, under the names of ``network``'s own parameters; several networks are refused."""
    return _renamed(_unwrapped(_renamed(state), list(network.state_dict()), file))


def _unwrapped(state: dict[str, Tensor], own: list[str], file: Path) -> dict[str, Tensor]:
    """The weights of a network with the parameters ``own``, without what training runs put in front of their names.

    That is whatever stands before all of them: ``module.``, ``_orig_mod.``, ``state_dict.model.`` and so on. Of a
    network and its running average, such as MoCo's ``encoder_k.``, the network is taken.
    """
    before = {key.removesuffix(own[0]) for key in state if key.endswith(own[0])}
    before = {prefix for prefix in before if not prefix or prefix.endswith(".")}
    fits = {prefix: sum(prefix + key in state for key in own) for prefix in before}
    best = [prefix for prefix in sorted(before) if fits[prefix] == max(fits.values()) > len(own) / 2]
    if len(best) > 1:
        best = [prefix for prefix in best if not AVERAGE.search(prefix)] or best
    if len(best) > 1:
        raise ValueError(
            f"{file} holds {len(best)} such networks, under {' and '.join(map(repr, best))}: save one of them"
        )
    if not best:
        return state
    others = tuple(p for p in before if p != best[0] and p.startswith(best[0]) and fits[p] > len(own) / 2)
    return {
        key.removeprefix(best[0]): value
        for key, value in state.items()
        if key.startswith(best[0]) and not key.startswith(others)
    }


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without auxiliary classifiers, and with today's names: DenseNet's files still say ``norm.1`` for ``norm1``."""
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
    return {old.sub(r"\1\2", key): value for key, value in state.items() if not key.startswith(_AUXILIARY)}


def load_state(network: nn.Module, state: dict[str, Tensor], file: Path) -> None:
    """Put the weights ``state``, from ``file``, into ``network``; a ``ValueError`` names what does not fit."""
    own = network.state_dict()
    both = own.keys() & state.keys()
    optional = {key for key in own if key.endswith("num_batches_tracked")}  # not in files of before 2018
    problems = {
        "missing": sorted(own.keys() - state.keys() - optional),
        "unexpected": sorted(state.keys() - own.keys()),
        "of another shape": sorted(k for k in both if own[k].shape != state[k].shape),
        "without values": sorted(k for k, value in state.items() if value.is_meta or value.layout is not torch.strided),
        "of whole numbers": sorted(k for k in both if own[k].is_floating_point() > state[k].is_floating_point()),
    }
    more = {kind: f" and {len(keys) - 5} more" if len(keys) > 5 else "" for kind, keys in problems.items()}
    reasons = [f"{kind}: {', '.join(keys[:5])}{more[kind]}" for kind, keys in problems.items() if keys]
    if reasons:
        name = getattr(network, "name", type(network).__name__)
        raise ValueError(
            f"{file} does not fit {name} ({'; '.join(reasons)}): it holds another network or head; save the state "
            f"dict of a {name}, or give the torch.nn.Module itself"
        )
    with torch.no_grad():
        for key, value in state.items():
            own[key].copy_(value)  # the tensors of a state dict are the network's own


def arrays(network: nn.Module) -> dict[str, np.ndarray]:
    """The weights of ``network`` as an artefact keeps them."""
    return {KEPT + key: value.cpu().numpy() for key, value in network.state_dict().items()}


def restore(network: nn.Module, kept: dict[str, np.ndarray]) -> nn.Module:
    """``network`` with the weights that `arrays` made, of an artefact that may hold more."""
    state = {
        key.removeprefix(KEPT): torch.from_numpy(value.copy()) for key, value in kept.items() if key.startswith(KEPT)
    }
    network.load_state_dict(state)
    return network
