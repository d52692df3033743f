"""Published networks by name, at full size, with the weights and the preprocessing that they were published with.

Names are those of the papers' pools (``resnet50``, ``mobilenet_v1``, ...), of any other classifier in torchvision, and
``timm/NAME`` for any in timm, which need not be installed otherwise. Weights are pinned by name and checked by hash;
``weights="local"`` takes a file of your own. torchvision has no MobileNetV1, so that one is timm's.
"""

import difflib
import hashlib
import json
import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as pixels

from ..store import paths
from ..store.schema import unknown

PICKLED = (".pth", ".pt", ".bin")  # files of weights that torch.save wrote; all others are safetensors
TIMM = "timm/"  # what the names of timm's models begin with
WEIGHTS = "IMAGENET1K_V1"  # torchvision's first weights for ImageNet-1k, those that existed when the papers were written
ALIASES = {"mobilenet_v1": f"{TIMM}mobilenetv1_100.ra4_e3600_r224_in1k", "mobilenet_v3": "mobilenet_v3_large"}
N_IMAGENET = 1000  # classes of ImageNet-1k

# GoogLeNet and Inception without their auxiliary classifiers, which only their own pre-training used.
_OPTIONS = {name: {"transform_input": True, "aux_logits": False, "init_weights": False} for name in ("googlenet", "inception_v3")}
_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
# What timm does not say in its package: its page gives 75.4 % at 224 pixels, as for torchvision's models with one centre crop.
_TIMM_FACTS = {ALIASES["mobilenet_v1"]: {"accuracy": 75.4, "gigaflops": 0.57, "megabytes": 17.0}}


@dataclass(frozen=True)
class Transform:
    """From an image to what a network sees: resized, the centre cropped, colours normalised.

    Parameters
    ----------
    resize, crop : int
        Pixels: what is resized to, and the side of the square that is kept.
    interpolation : str
        ``bilinear`` or ``bicubic``, with antialiasing.
    mean, std : tuple of 3 floats
        Of red, green and blue, for pixels of 0 to 1.
    """

    resize: int
    crop: int
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    mode: str = "center"  # timm's names: "center" resizes the shorter side, "squash" both, "border" the longer, and fills up

    def __call__(self, image: Image.Image) -> np.ndarray:
        """The resized and cropped image, uint8 of shape (crop, crop, 3)."""
        return np.asarray(pixels.center_crop(self._resized(image), [self.crop, self.crop]))

    def augmented(self, image: Image.Image, draws: np.random.Generator, flip: bool) -> np.ndarray:
        """As `__call__`, but cropped anywhere and, if ``flip`` is set, mirrored every other time: for training."""
        image = self._resized(image)
        top, left = (draws.integers(max(side - self.crop, 0), endpoint=True) for side in (image.height, image.width))
        image = pixels.crop(image, top, left, self.crop, self.crop)
        return np.asarray(pixels.hflip(image) if flip and draws.random() < 0.5 else image)

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 images (n, 3, crop, crop), on any device -> float32 of the same shape, what the network takes."""
        mean, std = (torch.tensor(x, device=images.device).view(3, 1, 1) for x in (self.mean, self.std))
        return images.float().sub_(255 * mean).div_(255 * std)

    def _resized(self, image: Image.Image) -> Image.Image:
        size = [self.resize]
        if self.mode == "squash":
            size = [self.resize, self.resize]
        elif self.mode == "border":
            ratio = max(image.size) / self.resize
            size = [max(1, round(image.height / ratio)), max(1, round(image.width / ratio))]
        image = pixels.resize(image, size, InterpolationMode(self.interpolation), antialias=True)
        if self.mode == "border":
            width, height = (max(0, self.crop - side) for side in image.size)
            edges = [width // 2, height // 2, (width + 1) // 2, (height + 1) // 2]
            image = pixels.pad(image, edges, fill=[round(255 * value) for value in self.mean])
        return image


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
    accuracy: float = math.nan  # per cent, top-1 on the validation images of ImageNet-1k, as published
    gigaflops: float = math.nan  # multiply-adds of one image, as published

    @property
    def present(self) -> bool:
        return self.file.exists()


def names() -> tuple[str, ...]:
    """Every name that `checkpoint` and `build` know, but for those of timm: ``timm/NAME`` is looked up when it is used."""
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
        or ``.pth`` in the data folder; beside it ``NAME.json`` may say ``{"accuracy": 71.9, "resize": 72, "crop": 64}``:
        per cent on its source, and what differs in its `Transform` from that of torchvision's own weights.
    transform : {"own", "released"}
        ``own`` is the preprocessing the weights were published with (Inception at 299 pixels); ``released`` is that of
        NCTI's released code for every model: the shorter side to 224 pixels, bicubic, the centre. Colours are always
        normalised as the weights were trained.

    Raises
    ------
    ValueError
        If there is no such model, no such weights of it, or no such transform.
    """
    if transform not in ("own", "released"):
        raise ValueError(unknown("transform", transform, ("own", "released")))
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
        "n_features": n_features(network),
        "n_classes": len(head(network).weight),
        "transform": describe(found.transform),
    }
    return network.eval(), found.transform, record


def restore(name: str, state: dict[str, Tensor], file: Path) -> nn.Module:
    """The network called ``name`` with the weights ``state``, and as many outputs as these have; ``file`` is where they are from.

    Raises
    ------
    ValueError
        If the weights do not fit: then their names are given.
    """
    network = build(name)
    state = _renamed(_unwrapped(_renamed(state), list(network.state_dict()), file))
    rows = state.get(f"{head_path(network)}.weight")
    if rows is not None and rows.ndim and 0 < len(rows) != N_IMAGENET:
        network = build(name, len(rows))
    _fill(network, state, file)
    return network.eval()


def describe(transform: Transform) -> str:
    """A transform in one line."""
    side = {"center": "shorter side", "squash": "both sides", "border": "longer side"}[transform.mode]
    return f"{side} to {transform.resize} px, {transform.interpolation}, centre {transform.crop} px"


def transform_of(network: nn.Module) -> "Transform | None":
    """The preprocessing that a network of timm carries with it; None for any other network."""
    config = getattr(network, "pretrained_cfg", None)
    return _timm_transform(config, _name(network)) if config and type(network).__module__.startswith("timm.") else None


# The last layer -------------------------------------------------------------------------------------------------------


def head_path(network: nn.Module) -> str:
    """Where in ``network`` its last layer is: timm says so; else the last linear layer, else the last convolution."""
    modules = dict(network.named_modules())
    if hasattr(network, "get_classifier"):
        last = network.get_classifier()
        found = [path for path, module in modules.items() if module is last]
    else:
        linear, convolutions = ([p for p, m in modules.items() if isinstance(m, kind)] for kind in (nn.Linear, nn.Conv2d))
        found = linear or convolutions
    if not found or not isinstance(modules[found[-1]], (nn.Linear, nn.Conv2d)):
        raise ValueError(
            f"{_name(network)} does not end in one linear layer or convolution, so it has no penultimate layer; allowed are "
            "networks that do"
        )
    return found[-1]


def head(network: nn.Module) -> nn.Linear | nn.Conv2d:
    """The last layer of ``network``; its input, the penultimate activation, is what the metrics call features."""
    return network.get_submodule(head_path(network))


def n_features(network: nn.Module) -> int:
    """Width d of the features."""
    last = head(network)
    return last.in_features if isinstance(last, nn.Linear) else last.in_channels


def penultimate(inputs: Tensor) -> Tensor:
    """Features (n, d) from the input of the last layer: its mean over positions, where it still has any (SqueezeNet)."""
    return inputs.mean((2, 3)) if inputs.ndim == 4 else inputs


def replace_head(network: nn.Module, n_classes: int, seed: int) -> None:
    """Put a new last layer with seeded random weights in place of the old one."""
    path = head_path(network)
    old = network.get_submodule(path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if isinstance(old, nn.Linear):
            new = nn.Linear(old.in_features, n_classes)
        else:
            new = nn.Conv2d(old.in_channels, n_classes, old.kernel_size)
    network.set_submodule(path, new.to(old.weight.device))


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
    """The file lies in a cache of Hugging Face's own layout, which calls each file by its SHA-256."""
    timm = _timm_knowing(name)
    import huggingface_hub  # timm brings it along

    short = name.removeprefix(TIMM)
    try:
        config = timm.get_pretrained_cfg(short)
    except RuntimeError:  # an unknown tag
        raise ValueError(unknown("weights", short, timm.list_pretrained(f"{short.split('.')[0]}.*"))) from None
    if not config or not config.hf_hub_id:
        raise ValueError(f"timm has no published weights for {short!r}: name them, as in {ALIASES['mobilenet_v1']}")
    transform = _timm_transform(config.to_dict(), name)
    cached = huggingface_hub.try_to_load_from_cache(config.hf_hub_id, "model.safetensors", cache_dir=_folder() / "hub")
    file = Path(cached).resolve() if isinstance(cached, str) else _folder() / "hub" / short
    return Checkpoint(
        name=name,
        weights=config.tag or "",
        url=f"https://huggingface.co/{config.hf_hub_id}",
        file=file,
        sha256=file.name if isinstance(cached, str) else "",
        transform=transform,
        licence=config.license or "see its page",
        **_TIMM_FACTS.get(name, {}),
    )


def _timm_transform(config: dict, name: str) -> Transform:
    import timm

    found = timm.data.resolve_data_config(pretrained_cfg=config)
    channels, height, width = found["input_size"]
    if channels != 3 or height != width:
        raise ValueError(f"{name} reads {height} x {width} pixels of {channels} colours; allowed are squares of three: give the module "
                         "itself, with a transform of your own")  # fmt: skip
    resize, colours = math.floor(height / found["crop_pct"]), (tuple(found["mean"]), tuple(found["std"]))
    return Transform(resize, height, found["interpolation"], *colours, found["crop_mode"])


def _of_file(name: str, transform: Transform) -> Checkpoint:
    places = [_folder() / f"{name}{suffix}" for suffix in (".safetensors", ".pth")]
    file = next((place for place in places if place.exists()), places[0])
    said = file.with_suffix(".json")
    facts = json.loads(said.read_text()) if said.exists() else {}
    accuracy = facts.pop("accuracy", math.nan)
    known = [f.name for f in fields(Transform)]
    for key in facts:
        if key not in known:
            raise ValueError(f"{said}: " + unknown("key", key, ["accuracy", *known]))
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
        raise ValueError(f"timm has no model {short!r}; near it: {', '.join(near) or 'nothing'}; see timm.list_models()")
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
    with open(found.file, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(found.sha256):
        raise ValueError(
            f"{found.file} is damaged or only half there: its SHA-256 begins with {digest[: len(found.sha256)]}, published is "
            f"{found.sha256}; remove it, and it is downloaded again"
        )
    return digest


def _fetch_from_hub(found: Checkpoint) -> Checkpoint:
    import huggingface_hub as hub

    repository = found.url.removeprefix("https://huggingface.co/")
    try:
        hub.hf_hub_download(repository, "model.safetensors", cache_dir=_folder() / "hub")
    except (OSError, hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError) as error:
        raise OSError(f"could not download {found.url}: {str(error).splitlines()[0]}") from None
    return replace(_of_timm(ALIASES.get(found.name, found.name)), name=found.name)


# Weights into a network -----------------------------------------------------------------------------------------------


def read(file: Path) -> dict[str, Tensor]:
    """The weights in a PyTorch or safetensors file; nothing but weights is ever unpickled.

    Returns
    -------
    dict
        Every tensor in the file by its name; where a training run nested its state dict, with the keys above it in front:
        ``state_dict.conv1.weight``.

    Raises
    ------
    ValueError
        If the file is torn or holds anything else.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of what is no file of torch's
            pickled = file.suffix in PICKLED
            content = torch.load(file, map_location="cpu", weights_only=True) if pickled else load_file(file)
    except Exception as error:  # what is no file of weights raises errors of any type
        raise ValueError(
            f"{file} is not a state dict ({type(error).__name__}: {str(error)[:100]}): remove it if it was downloaded; if it is "
            "yours, save network.state_dict() there, with torch.save or safetensors"
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


def _unwrapped(state: dict[str, Tensor], own: list[str], file: Path) -> dict[str, Tensor]:
    """The weights of a network with the parameters ``own``, without what training runs put in front of their names.

    That is whatever stands before all of them: ``module.``, ``_orig_mod.``, ``state_dict.model.`` and so on. Of a network
    and its running average, the network is taken.
    """
    before = {key.removesuffix(own[0]) for key in state if key.endswith(own[0])}
    before = {prefix for prefix in before if not prefix or prefix.endswith(".")}
    fits = {prefix: sum(prefix + key in state for key in own) for prefix in before}
    best = [prefix for prefix in sorted(before) if fits[prefix] == max(fits.values()) > len(own) / 2]
    if len(best) > 1:
        best = [prefix for prefix in best if not re.search(r"(^|[._])(ema|swa|averaged?|shadow)([._])", prefix)] or best
    if len(best) > 1:
        raise ValueError(f"{file} holds {len(best)} such networks, under {' and '.join(map(repr, best))}: save one of them")
    return {key.removeprefix(best[0]): value for key, value in state.items() if key.startswith(best[0])} if best else state


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without auxiliary classifiers, and with today's names for layers: DenseNet's files still say ``norm.1`` for ``norm1``."""
    old = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
    return {old.sub(r"\1\2", key): value for key, value in state.items() if not key.startswith(_AUXILIARY)}


def _fill(network: nn.Module, state: dict[str, Tensor], file: Path) -> None:
    own = network.state_dict()
    optional = {key for key in own if key.endswith("num_batches_tracked")}  # not in files of before 2018
    problems = {
        "missing": sorted(own.keys() - state.keys() - optional),
        "unexpected": sorted(state.keys() - own.keys()),
        "of another shape": sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape),
        "of whole numbers": sorted(k for k in own.keys() & state.keys() if own[k].is_floating_point() > state[k].is_floating_point()),
    }
    more = {kind: f" and {len(keys) - 5} more" if len(keys) > 5 else "" for kind, keys in problems.items()}
    said = [f"{kind}: {', '.join(keys[:5])}{more[kind]}" for kind, keys in problems.items() if keys]
    if said:
        raise ValueError(
            f"{file} does not fit {_name(network)} ({'; '.join(said)}): it holds another network; save the state dict of a "
            f"{_name(network)}"
        )
    with torch.no_grad():
        for key, value in state.items():
            own[key].copy_(value)  # the tensors of a state dict are the network's own


def _name(network: nn.Module) -> str:
    return getattr(network, "name", type(network).__name__)
