"""Published networks by name, at full size, with the weights and the preprocessing that they were published with.

Names are those of the papers' pools (``resnet50``, ``mobilenet_v1``, ...), of any other classifier in torchvision, and
``timm/NAME`` for any in timm, which need not be installed otherwise. Weights are pinned by name and checked by hash;
``weights="local"`` takes a file of your own. torchvision has no MobileNetV1, so that one is timm's.
"""

import difflib
import json
import math
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType

import torch
import torchvision
from torch import Tensor, nn

from ..store import file_digests, paths
from ..store.schema import refuse_unknown, unknown
from . import last_layer, preprocessing
from .preprocessing import Transform
from .weights import adapt_names, load_state, read

TIMM = "timm/"  # what the names of timm's models begin with
WEIGHTS = "IMAGENET1K_V1"  # torchvision's first ones for ImageNet-1k, which existed when the papers were written
ALIASES = {"mobilenet_v1": f"{TIMM}mobilenetv1_100.ra4_e3600_r224_in1k", "mobilenet_v3": "mobilenet_v3_large"}
FILE = "model.safetensors"  # of a model of timm's, at Hugging Face
N_IMAGENET = 1000  # classes of ImageNet-1k

# GoogLeNet and Inception without their auxiliary classifiers, which only their own pre-training used.
_OPTIONS = {
    name: {"transform_input": True, "aux_logits": False, "init_weights": False}
    for name in ("googlenet", "inception_v3")
}
# What timm does not say in its package: its page gives 75.4 % at 224 pixels, as for torchvision's models with one
# centre crop.
_TIMM_FACTS = {ALIASES["mobilenet_v1"]: {"accuracy": 75.4, "gigaflops": 0.57, "megabytes": 17.0}}


@dataclass(frozen=True)
class Checkpoint:
    """Published weights before they are loaded: where they come from, how they are known, what is said of them."""

    name: str
    weights: str  # the weights' name: torchvision's enumeration, timm's tag, or "local"
    url: str
    file: Path  # where they lie, or will lie
    sha256: str  # first digits; "" where the publisher names none
    transform: Transform
    licence: str
    megabytes: float = math.nan
    is_classifier: bool = True  # false for a body that was published alone
    accuracy: float = math.nan  # per cent, top-1 on the validation images of ImageNet-1k, as published
    gigaflops: float = math.nan  # multiply-adds of one image, as published

    @property
    def present(self) -> bool:
        """Whether the file of weights is there."""
        return self.file.exists()


def names() -> tuple[str, ...]:
    """Every name that `checkpoint` and `build` know, but for ``timm/NAME``, which is looked up when it is used."""
    return (*ALIASES, *sorted(torchvision.models.list_models(module=torchvision.models)))


def checkpoint(name: str, weights: str = WEIGHTS, transform: str = "own") -> Checkpoint:
    """What is known about a model's weights before anything is downloaded.

    Parameters
    ----------
    name : str
        One of `names`, or ``timm/NAME``.
    weights : str
        A member of torchvision's enumeration, such as ``IMAGENET1K_V1``. timm's models carry theirs in their name
        (``timm/resnet50.a1_in1k``), so it does not apply to them. ``local``: the file ``checkpoints/NAME.safetensors``
        or ``.pth`` in the data folder; beside it ``NAME.json`` may say ``{"accuracy": 71.9, "resize": 72, "crop":
        64}``: per cent on its source, and what differs in its `Transform` from that of torchvision's own weights.
    transform : {"own", "released"}
        ``own`` is the preprocessing the weights were published with (Inception at 299 pixels); ``released`` is that of
        NCTI's released code for every model: the shorter side to 224 pixels, bicubic, the centre. Colours are always
        normalised as the weights were trained.

    Raises
    ------
    ValueError
        If there is no such model, no such weights of it, or no such transform.
    """
    refuse_unknown("transform", transform, ("own", "released"))
    resolved = ALIASES.get(name, name)
    found = _of_timm(resolved) if resolved.startswith(TIMM) else _of_torchvision(resolved, weights)
    if weights == "local":
        found = _of_file(name, found.transform)
    if transform == "released":
        found = replace(found, transform=replace(found.transform, resize=224, crop=224, interpolation="bicubic"))
    return replace(found, name=name)


def build(name: str, n_classes: int = N_IMAGENET) -> nn.Module:
    """The network called ``name`` with random weights, without auxiliary classifiers; it carries its ``name``.

    Raises
    ------
    ValueError
        If there is no such model.
    """
    resolved = ALIASES.get(name, name)
    if resolved.startswith(TIMM):
        network = _timm_knowing(resolved).create_model(resolved.removeprefix(TIMM), num_classes=n_classes)
    else:
        _check_torchvision(resolved)
        network = torchvision.models.get_model(resolved, num_classes=n_classes, **_OPTIONS.get(resolved, {}))
    network.name = name
    return network


def load(name: str, weights: str = WEIGHTS, transform: str = "own") -> tuple[nn.Module, Transform, dict]:
    """A published network in evaluation mode, its preprocessing, and a record of what was loaded.

    Parameters as for `checkpoint`. The weights are downloaded if they are not there.

    Returns
    -------
    network : torch.nn.Module
        Takes what ``transform.normalise`` gives and returns the logits of its source classes.
    transform : Transform
    record : dict
        ``model, weights, url, sha256, accuracy, n_parameters, n_features, n_classes, transform``: numbers and strings.

    Raises
    ------
    ValueError
        If the file's hash is not the published one, or its weights do not fit the network: then their names are given.
        If it holds no last layer.
    OSError
        If the download fails.
    """
    found = checkpoint(name, weights, transform)
    digest = fetch(found)
    network = restore(name, read(found.file), found.file)
    record = {
        "model": name,
        "weights": f"{found.weights} ({found.file.name})",
        "url": found.url,
        "sha256": digest,
        "accuracy": found.accuracy,
        "n_parameters": sum(p.numel() for p in network.parameters()),
        "n_features": last_layer.width(network),
        "n_classes": last_layer.n_outputs(network),
        "transform": preprocessing.describe(found.transform),
    }
    return network.eval(), found.transform, record


def restore(name: str, state: dict[str, Tensor], file: Path) -> nn.Module:
    """The network called ``name`` with the weights ``state``, and as many outputs as these have; ``file`` is where they
    are from.

    Without weights of a last layer it has none, and returns its features.

    Raises
    ------
    ValueError
        If the weights do not fit: then their names are given.
    """
    with torch.random.fork_rng(devices=[]):  # no weight that is drawn is kept
        network = build(name)
        state = adapt_names(state, network, file)
        heads = last_layer.heads(network)
        place = _place_of_head(heads[0], list(network.state_dict()))
        state = _with_plain_head(state, heads[0], place)
        rows = state.get(f"{heads[0]}.weight")
        if rows is not None and rows.ndim and 0 < len(rows) != N_IMAGENET:
            network = build(name, len(rows))
    if not any(key.startswith((f"{place}.", *(f"{head}." for head in heads))) for key in state):
        last_layer.cut(network)
    load_state(network, state, file)
    return network.eval()


def _place_of_head(head: str, own: list[str]) -> str:
    """The outermost part of a network with the weights ``own`` that holds no weights but its ``head``'s."""
    while above := head.rpartition(".")[0]:
        if sum(key.startswith(f"{above}.") for key in own) > sum(key.startswith(f"{head}.") for key in own):
            break
        head = above
    return head


def _with_plain_head(state: dict[str, Tensor], head: str, place: str) -> dict[str, Tensor]:
    """``state`` with the one linear layer that it has in ``place`` under the name ``head``, as of a network whose
    ``fc`` became ``nn.Sequential(nn.Dropout(), nn.Linear(d, K))``.
    """
    inside = {key.rpartition(".")[0] for key in state if key.startswith(f"{place}.")}
    if len(inside) != 1:
        return state
    (found,) = inside
    parts = {key.removeprefix(found): value for key, value in state.items() if key.startswith(f"{place}.")}
    if parts.keys() != {".weight", ".bias"} or parts[".weight"].ndim < 2:
        return state
    body = {key: value for key, value in state.items() if not key.startswith(f"{place}.")}
    return body | {head + part: value for part, value in parts.items()}


# Where weights come from ----------------------------------------------------------------------------------------------


def _check_torchvision(name: str) -> None:
    if name not in names():
        raise ValueError(unknown("model", name, names()) + f"; for a model of timm write {TIMM}{name}")


def _of_torchvision(name: str, weights: str) -> Checkpoint:
    _check_torchvision(name)
    published = torchvision.models.get_model_weights(name)
    known = [entry.name for entry in published]
    if weights != "local" and weights not in known:
        raise ValueError(f"{name}: " + unknown("weights", weights, [*known, "local"]))
    entry = published[weights if weights in known else known[0]]
    preset, file = entry.transforms(), entry.url.rsplit("/", 1)[-1]
    transform = Transform(
        preset.resize_size[0], preset.crop_size[0], preset.interpolation.value, tuple(preset.mean), tuple(preset.std)
    )
    return Checkpoint(
        name=name,
        weights=entry.name,
        url=entry.url,
        file=_place(file),
        sha256=re.search(r"-([0-9a-f]{8,})\.", file).group(1),
        transform=transform,
        licence="BSD-3-Clause (torchvision); trained on ImageNet: research",
        megabytes=entry.meta["_file_size"],
        accuracy=entry.meta["_metrics"]["ImageNet-1K"]["acc@1"],
        gigaflops=entry.meta["_ops"],
    )


def _of_timm(name: str) -> Checkpoint:
    """The file lies in a cache of Hugging Face's own layout, which mostly calls a file by its SHA-256."""
    timm = _timm_knowing(name)
    import huggingface_hub  # timm brings it along

    short = name.removeprefix(TIMM)
    try:
        config = timm.get_pretrained_cfg(short)
    except RuntimeError:  # an unknown tag
        raise ValueError(unknown("weights", short, timm.list_pretrained(f"{short.split('.')[0]}.*"))) from None
    if not config or not config.hf_hub_id:
        raise ValueError(f"timm has no published weights for {short!r}: name them, as in {ALIASES['mobilenet_v1']}")
    transform = preprocessing.of_timm(config.to_dict(), name)
    # In our folder, or in Hugging Face's own if another program has put them there.
    places = (_folder() / "hub", huggingface_hub.constants.HF_HUB_CACHE)
    kept = [huggingface_hub.try_to_load_from_cache(config.hf_hub_id, FILE, cache_dir=place) for place in places]
    cached = next((path for path in kept if isinstance(path, str)), None)
    file = Path(cached).resolve() if cached else _folder() / "hub" / short
    return Checkpoint(
        name=name,
        weights=config.tag or "",
        url=f"https://huggingface.co/{config.hf_hub_id}",
        file=file,
        sha256=file.name if re.fullmatch("[0-9a-f]{64}", file.name) else "",  # a copy has the name of the link
        transform=transform,
        licence=config.license or "see its page",
        is_classifier=config.num_classes != 0,
        **_TIMM_FACTS.get(name, {}),
    )


def _of_file(name: str, transform: Transform) -> Checkpoint:
    places = [_folder() / f"{name}{suffix}" for suffix in (".safetensors", ".pth")]
    file = next((place for place in places if place.exists()), places[0])
    facts_file = file.with_suffix(".json")
    facts = json.loads(facts_file.read_text()) if facts_file.exists() else {}
    accuracy = facts.pop("accuracy", math.nan)
    known = [f.name for f in fields(Transform)]
    for key in facts:
        if key not in known:
            raise ValueError(f"{facts_file}: " + unknown("key", key, ["accuracy", *known]))
    return Checkpoint(name, "local", "", file, "", replace(transform, **facts), "yours", accuracy=accuracy)


def _timm_knowing(name: str) -> ModuleType:
    """timm, if it is there and knows ``name``."""
    try:
        import timm  # only those who name one of its models need it
    except ModuleNotFoundError:
        raise ValueError(f"{name} needs timm, which is not installed: pip install timm") from None
    short = name.removeprefix(TIMM)
    if not timm.is_model(short.split(".")[0]):
        near = difflib.get_close_matches(short, timm.list_models(), n=3)
        raise ValueError(
            f"timm has no model {short!r}; near it: {', '.join(near) or 'nothing'}; see timm.list_models()"
        )
    return timm


def _folder() -> Path:
    return paths.downloads() / "checkpoints"


def _place(file: str) -> Path:
    """Where torchvision's weights lie: in our folder, or in torch.hub's if another program has put them there."""
    ours, hub = _folder() / file, Path(torch.hub.get_dir()) / "checkpoints" / file
    return hub if hub.exists() and not ours.exists() else ours


def fetch(found: Checkpoint) -> str:
    """Download a checkpoint unless it is there; returns the SHA-256 of the file, checked against the published one.

    Raises
    ------
    ValueError
        If the hash is another one: the file is damaged, half there, or not what it says.
    OSError
        If there is no file and none can be downloaded.
    """
    if not found.present and found.weights == "local":
        raise FileNotFoundError(f"there is no {found.file} nor .pth: put the state dict of a {found.name} there")
    if not found.present and ALIASES.get(found.name, found.name).startswith(TIMM):
        found = _fetch_from_hub(found)
    if not found.present:
        found.file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(found.url, str(found.file))
        except OSError as error:
            raise OSError(f"could not download {found.url} ({error}): put it at {found.file} by hand") from None
    digest = file_digests.of_file(found.file)
    if not digest.startswith(found.sha256):
        raise ValueError(
            f"{found.file} is damaged or only half there: its SHA-256 begins with {digest[: len(found.sha256)]}, "
            f"published is {found.sha256}; remove it, and it is downloaded again"
        )
    return digest


def _fetch_from_hub(found: Checkpoint) -> Checkpoint:
    import huggingface_hub as hub

    repository = found.url.removeprefix("https://huggingface.co/")
    try:
        hub.hf_hub_download(repository, FILE, cache_dir=_folder() / "hub")
    except (OSError, hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError) as error:
        raise OSError(f"could not download {found.url}: {str(error).splitlines()[0]}") from None
    return replace(_of_timm(ALIASES.get(found.name, found.name)), name=found.name)
