"""Models of a reader's own choice: a name, a file of weights or a network -> something that turns samples into
features.

`resolve` answers everything that can be wrong with a model (a mistyped name, weights that are missing, a file that is
no weights or another network's) before any sample is looked at.
"""

import contextlib
import difflib
import hashlib
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..extraction import extract as extraction
from ..extraction import identity
from ..extraction import networks as published
from ..extraction.folders import Photos
from ..extraction.networks import TIMM, Transform
from ..lab import losses, models
from ..lab.tasks import classification
from ..store.artifacts import Arrays
from .data import Texts

FILES = (*published.PICKLED, ".safetensors")  # of weights
IMAGENET = Transform(256, 224, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
REDUCED = Transform(32, 32, "bilinear", (0.5,) * 3, (0.25,) * 3)  # what `training.prepare` does
SOME_TEXT_MODELS = (
    "bert-base-uncased", "bert-base-cased", "bert-base-multilingual-cased", "distilbert-base-uncased", "roberta-base",
    "roberta-large", "albert-base-v2", "microsoft/deberta-v3-base", "google/electra-base-discriminator", "xlm-roberta-base",
    "sentence-transformers/all-MiniLM-L6-v2", "gpt2",
)  # fmt: skip
CONVOLUTIONAL = ("torchvision.models.squeezenet", "timm.")  # whose networks may end in a convolution that is the classifier
LONGEST = 512  # tokens of a text that are read, where the tokenizer names no smaller number

Load = Callable[[], "ImageModel | TextModel"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """One model of a ranking, not yet in memory.

    Parameters
    ----------
    name : str
    spec : dict or None
        What its features depend on: weights, architecture, preprocessing. None if that cannot be told, and then
        nothing is kept.
    load : callable
        Returns the model.
    caution : str
        What a reader should know about it.
    """

    name: str
    spec: dict | None
    load: Load
    caution: str = ""


def resolve(given: Any, kind: str) -> list[Candidate]:
    """The models that ``given`` names, each checked and its weights at hand.

    Parameters
    ----------
    given : str, list or dict
        As ``models`` of `ncrepro.rank`.
    kind : {"images", "texts"}
        What they have to read.

    Raises
    ------
    ValueError
        For an unknown or repeated name, or a file that holds no weights or another network's.
    OSError
        If weights are neither there nor downloadable: all that are missing, and where to put them.
    """
    named = _named(given)
    find = {"images": _image_model, "texts": _text_model}[kind]
    found = {name: find(name, what) for name, what in named.items()}  # unknown names are answered here
    candidates, missing = [], []
    for ready in found.values():
        try:
            candidates.append(ready())
        except OSError as error:
            missing.append(str(error))
    if missing:
        raise OSError("\n".join(missing))
    return candidates


def names() -> tuple[str, ...]:
    """Names of image models that can be ranked, but for those of timm: ``timm/NAME``."""
    return published.names()


def _named(given: Any) -> dict[str, Any]:
    """Models by the name they have in the table."""
    if isinstance(given, str):
        given = given.split()
    if isinstance(given, Mapping):
        given = [(str(name), what) for name, what in given.items()]
    else:
        given = [(_name_of(what), what) for what in given or []]
    named: dict[str, Any] = {}
    for name, what in given:
        if name in named:
            raise ValueError(
                f"two models are called {name!r}: give each a name of its own, as in models={{'first': ..., 'second': ...}}, "
                "or 'first=resnet50:first.pth'"
            )
        named[name] = what
    return named


def _name_of(what: Any) -> str:
    if isinstance(what, (str, Path)):
        name, is_file, _ = str(what).partition("=")
        return name if is_file or Path(name).suffix not in FILES else re.sub(r"-[0-9a-f]{16}$", "", Path(name).stem)
    network = what[0] if isinstance(what, tuple) else what
    return str(getattr(network, "name", type(network).__name__))


# Image models ---------------------------------------------------------------------------------------------------------


def _image_model(name: str, what: Any) -> Callable[[], Candidate]:
    if isinstance(what, nn.Module):
        what = (what, None)
    if isinstance(what, tuple) and isinstance(what[0], nn.Module):
        return partial(_of_network, name, *what)
    if not isinstance(what, (str, Path)):
        raise ValueError(
            f"model {name!r} is a {type(what).__name__}; allowed are a name, 'ARCHITECTURE=FILE', a torch.nn.Module, and a "
            "pair of a module and its transform"
        )
    _, is_file, right = str(what).partition("=")
    if is_file or Path(str(what)).suffix in FILES:
        return _of_path(name, str(what), right if is_file else str(what))
    _check_architecture(str(what))
    return partial(_of_name, name, str(what))


def _check_architecture(name: str) -> None:
    if name.startswith(TIMM):
        published.checkpoint(name)  # says which names are near
        return
    if name not in published.names():
        near = difflib.get_close_matches(name, published.names(), n=3)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "nothing torchvision has is called like it"
        raise ValueError(
            f"unknown model {name!r}: {hint} Allowed are the names of torchvision.models.list_models(), {TIMM}NAME, ARCHITECTURE=FILE "
            f"with a file of weights ({', '.join(FILES)}), and torch.nn.Module"
        )


def _of_name(name: str, architecture: str) -> Candidate:
    found = published.checkpoint(architecture)
    spec = {"architecture": architecture, "weights": published.fetch(found), "transform": repr(found.transform)}
    return Candidate(name, spec, partial(_load_published, name, architecture))


def _load_published(name: str, architecture: str) -> "ImageModel":
    network, transform, _ = published.load(architecture)
    return ImageModel(name, network, transform)


def _of_path(name: str, what: str, right: str) -> Callable[[], Candidate]:
    """``ARCHITECTURE=FILE``, ``NAME=ARCHITECTURE:FILE``, or a file that this project trained, which says its own architecture."""
    architecture, colon, file = right.partition(":")
    if not colon or Path(right).exists():
        architecture, file = what.partition("=")[0], right
    path = Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"model {name!r}: there is no file {path}")
    spec = _spec_inside(path)
    if spec and colon and architecture != spec["architecture"]:
        raise ValueError(
            f"model {name!r}: {path.name} says of itself that it is a {spec['architecture']}, not a {architecture}; leave the name out"
        )
    if spec is None:
        if architecture not in published.names() and not architecture.startswith(TIMM):
            near = difflib.get_close_matches(architecture, published.names(), n=3)
            raise ValueError(
                f"model {name!r}: which architecture do the weights in {path.name} belong to? {architecture!r} is none"
                f"{'; did you mean ' + ' or '.join(map(repr, near)) + '?' if near else ''}; write resnet50={path.name}, or "
                f"NAME=resnet50:{path.name}"
            )
        _check_architecture(architecture)
    return partial(_of_file, name, architecture, path, spec)


def _of_file(name: str, architecture: str, path: Path, spec: dict | None) -> Candidate:
    load = (
        partial(_load_file, name, architecture, path) if spec is None else partial(_load_trained_here, name, path, spec)
    )
    transform = load().transform  # reads the file once, so that one that does not fit is found before the work
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Candidate(name, {"architecture": architecture, "weights": digest, "transform": repr(transform)}, load)


def _spec_inside(path: Path) -> dict | None:
    """What an image classifier that this project trained says of itself; None for any other file."""
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            spec = json.loads((file.metadata() or {}).get("spec", "{}"))
    except (SafetensorError, ValueError):
        return None
    return spec if spec.get("architecture") in models.names() and "source" in spec else None


def _load_trained_here(name: str, path: Path, spec: dict) -> "ImageModel":
    with safe_open(path, framework="numpy") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}
    return ImageModel(name, losses.adapt(classification.restore(spec, arrays), spec["loss"]), REDUCED)


def _load_file(name: str, architecture: str, path: Path) -> "ImageModel":
    network = published.restore(architecture, published.read(path), path)
    return ImageModel(name, network, published.checkpoint(architecture).transform)


def _of_network(name: str, network: nn.Module, transform: Any) -> Candidate:
    transform = transform or getattr(network, "transform", None) or published.transform_of(network)
    caution = "" if transform else "no transform was given with it, so ImageNet's was used (224 pixels)"
    transform = transform or IMAGENET
    if not isinstance(transform, Transform):
        transform = Wrapped(transform)
    known = identity.of((network, transform))
    return Candidate(name, {"module": known} if known else None, partial(ImageModel, name, network, transform), caution)


@dataclass(frozen=True)
class Wrapped:
    """Any callable from a PIL image to a float tensor (3, h, w), in the place of a `Transform`."""

    transform: Callable

    def __call__(self, image) -> np.ndarray:
        made = self.transform(image)
        tensor = made if isinstance(made, Tensor) else torch.tensor(np.array(made))
        if tensor.ndim != 3:
            raise ValueError(f"the transform gives shape {tuple(tensor.shape)}; allowed is (3, height, width)")
        return tensor.permute(1, 2, 0).float().numpy()  # (h, w, 3)

    def normalise(self, images: Tensor) -> Tensor:
        return images


class ImageModel:
    """A network and its preprocessing."""

    def __init__(self, name: str, network: nn.Module, transform: Transform | Wrapped):
        self.name, self.network, self.transform = name, network, transform

    def batches(self, photos: Photos, size: int, place: torch.device) -> Iterator[Tensor]:
        return extraction.batches(lambda i: self.transform(photos.image(i)), range(len(photos)), size, place)

    def __call__(self, batch: Tensor) -> tuple[Tensor, Tensor | None]:
        """Features (b, d), and source probabilities (b, K_s) if the network ends in a classifier."""
        seen: list[Seen] = []  # what may be its classifier, in the order of use

        def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if inputs and isinstance(output, Tensor) and (output.ndim == 2 or isinstance(layer, nn.Conv2d)):
                seen.append(Seen(inputs[0], output, output._version))

        hooks = [layer.register_forward_hook(keep) for layer in self._layers()]
        try:
            with torch.inference_mode(False), torch.no_grad():  # inference tensors have no version
                out = self.network(self.transform.normalise(batch))
        finally:
            for hook in hooks:
                hook.remove()
        if not isinstance(out, Tensor) or out.ndim not in (2, 4) or len(out) != len(batch):
            shape = f" of shape {tuple(out.shape)}" if isinstance(out, Tensor) else ""
            raise ValueError(
                f"{self.name} returns a {type(out).__name__}{shape}; allowed are logits (n, classes) or features (n, d): if it returns "
                "several things, wrap it so that it returns one of them"
            )
        for layer in reversed(seen):
            probs = _probabilities(layer, out)
            if probs is not None:
                return published.penultimate(layer.inputs), probs
        return _of_two_heads(seen, out) or (published.penultimate(out), None)  # without a classifier it returns its features

    def _layers(self) -> list[nn.Module]:
        network = getattr(self.network, "_orig_mod", self.network)  # of what torch.compile made
        layers = {layer for layer in network.modules() if isinstance(layer, nn.Linear)}
        if type(network).__module__.startswith(CONVOLUTIONAL):
            with contextlib.suppress(ValueError):  # it has no classifier
                layers.add(published.head(network))
        return list(layers)


class Seen(NamedTuple):
    """What went into a layer and came out, and how often that had been changed in place."""

    inputs: Tensor
    output: Tensor
    version: int


def _probabilities(layer: Seen, out: Tensor) -> Tensor | None:
    """Source probabilities, if what a layer gave *is* what the network returns: as logits, or after a softmax or its logarithm."""
    logits = layer.output
    if logits.ndim == 4 and out.ndim == 2:  # a convolution, averaged over its positions: in SqueezeNet after a ReLU
        return out.softmax(1) if any(_same(z.mean((2, 3)), out) for z in (logits, logits.relu())) else None
    if logits.shape != out.shape:
        return None
    if logits.untyped_storage().data_ptr() == out.untyped_storage().data_ptr():
        return out.softmax(1) if out._version == layer.version else None  # an activation in place makes features of it
    top = logits.argmax(1, keepdim=True)
    for probs in (out, out.exp()):
        if probs.min() >= 0 and _same(probs.sum(1), torch.ones_like(probs[:, 0])) and _same(probs.gather(1, top)[:, 0], probs.amax(1)):
            return probs
    return None


def _of_two_heads(seen: list[Seen], out: Tensor) -> tuple[Tensor, Tensor] | None:
    """Features and source probabilities of a network that returns the mean of two heads, as a distilled DeiT does."""
    if len(seen) < 2 or seen[-1].inputs.shape != seen[-2].inputs.shape or seen[-1].output.shape != seen[-2].output.shape:
        return None
    one, other = seen[-2:]
    return ((one.inputs + other.inputs) / 2, out.softmax(1)) if _same((one.output + other.output) / 2, out) else None


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.allclose(one.float(), other.float(), rtol=1e-3, atol=1e-5)


# Text models ----------------------------------------------------------------------------------------------------------


def _text_model(name: str, what: Any) -> Callable[[], Candidate]:
    if not isinstance(what, (str, Path)):
        raise ValueError(
            f"model {name!r} is a {type(what).__name__}; for texts allowed are Hugging Face names and folders"
        )
    where = str(what).partition("=")[2] or str(what)
    return partial(_of_hub, name, where)


def _of_hub(name: str, where: str) -> Candidate:
    transformers = _transformers()
    transformers.utils.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(where)
        load = partial(_load_text, name, where)
        load()  # downloads what is missing
    except Exception as error:  # what is no model of its kind raises errors of any type
        raise OSError(f"{where}: {_why_not(where, (str(error).strip() or type(error).__name__).splitlines()[0])}") from None
    folder = Path(where)
    if folder.is_dir():
        hasher = hashlib.sha256()
        for file in sorted(p for p in folder.iterdir() if p.is_file()):
            hasher.update(file.name.encode() + file.read_bytes())
        version = hasher.hexdigest()
    else:
        version = config._commit_hash
    return Candidate(name, {"text_model": where, "weights": version} if version else None, load)


def _why_not(where: str, error: str) -> str:
    if Path(where).is_dir():
        return f"this folder holds no model that transformers can read ({error[:160]}): it needs config.json, weights and a tokenizer"
    near = difflib.get_close_matches(where, SOME_TEXT_MODELS, n=3)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near and where not in near else ""
    return (f"neither a folder here nor a model that could be had from Hugging Face ({error[:160]}){hint}; without a network, "
            f"run `hf download {where} --local-dir FOLDER` where there is one and give FOLDER (config.json, model.safetensors, tokenizer) "
            "in place of the name")  # fmt: skip


def _transformers():
    try:
        import transformers  # only those who rank text models need it
    except ModuleNotFoundError:
        raise ValueError("text models need transformers, which is not installed: pip install transformers") from None
    return transformers


def _load_text(name: str, where: str) -> "TextModel":
    transformers = _transformers()
    tokenizer = transformers.AutoTokenizer.from_pretrained(where)
    network = transformers.AutoModel.from_pretrained(where, dtype=torch.float32)
    if network.config.is_encoder_decoder:
        network = network.get_encoder()
    return TextModel(name, network, tokenizer)


class TextModel:
    """A transformer and its tokenizer; its feature of a text is the mean of the last hidden states of the text's tokens."""

    def __init__(self, name: str, network: nn.Module, tokenizer: Any):
        self.name, self.network, self.tokenizer = name, network, tokenizer
        tokenizer.padding_side = "right"  # so that a token's position does not depend on the texts beside it
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        if tokenizer.pad_token is None:
            raise ValueError(f"{name}: its tokenizer has no token to pad with; set tokenizer.pad_token and save it again")
        self.length = min(tokenizer.model_max_length, LONGEST, _positions(network))
        self.cut = 0  # texts that were longer

    def batches(self, texts: Texts, size: int, place: torch.device) -> Iterator[dict]:
        self.cut = 0
        for start in range(0, len(texts), size):
            part = list(texts.texts[start : start + size])
            whole = self.tokenizer(part, padding=False, truncation=False, verbose=False)["input_ids"]
            self.cut += sum(len(ids) > self.length for ids in whole)
            tokens = self.tokenizer(
                part, padding=True, truncation=True, max_length=self.length, return_tensors="pt", return_attention_mask=True
            )
            empty = (tokens["attention_mask"].sum(1) == 0).nonzero()
            if len(empty):
                raise ValueError(f"{self.name}: text {start + int(empty[0, 0])} holds no token of its vocabulary; leave it out")
            yield tokens.to(place)

    def __call__(self, batch: dict) -> tuple[Tensor, None]:
        """Features (b, d); a text encoder has no source classes."""
        states = self.network(**batch).last_hidden_state  # (b, tokens, d)
        mask = batch["attention_mask"].unsqueeze(2)  # (b, tokens, 1)
        return (states * mask).sum(1) / mask.sum(1), None


def _positions(network: nn.Module) -> int:
    """Tokens that a network has positions for: what its config says, and its tables of positions hold.

    RoBERTa and its kin count positions from the one after that of padding, so the first rows of their tables are not used.
    """
    said = getattr(network.config, "max_position_embeddings", None) or LONGEST
    tables = [
        table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
        for name, table in network.named_modules()
        if isinstance(table, nn.Embedding) and re.search(r"(^|\.)(wpe|position_embeddings?|embed_positions)$", name)
    ]
    return min([said if said > 0 else LONGEST, *tables])  # XLNet says -1: any


# Features -------------------------------------------------------------------------------------------------------------


def device(name: str | None = None) -> torch.device:
    """The device called ``name``; None takes CUDA, else Apple's MPS, else the CPU.

    Raises
    ------
    ValueError
        If there is no such device here.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name is None:
        return torch.device(next(kind for kind, is_there in there.items() if is_there))
    kind = str(name).split(":")[0]
    if not there.get(kind, False):
        raise ValueError(
            f"device is {name!r}; there is {', '.join(kind for kind, is_there in there.items() if is_there)} here"
        )
    return torch.device(name)


def extract(
    model: ImageModel | TextModel,
    data: Photos | Texts,
    place: torch.device,
    batch_size: int | None,
    on_batch: Callable[[int], None],
) -> Arrays:
    """Features (n, d), float32, and source probabilities (n, K_s) if the model has a classifier.

    Parameters
    ----------
    batch_size : int or None
        None starts with `extraction.BATCH` samples and halves that for as long as the device runs out of memory.
    on_batch : callable
        Told how many samples were done, after each batch; negative if they have to be done again.

    Raises
    ------
    ValueError
        If a feature is not finite, or the model returns something else than features or logits.
    """
    size = batch_size or extraction.BATCH.get(place.type, 32)
    while True:
        done = 0
        try:
            parts = []
            with _borrowed(model.network, place), torch.no_grad(), warnings.catch_warnings():
                warnings.filterwarnings("ignore", module=r"PIL\.")  # as when the images were checked
                for batch in model.batches(data, size, place):
                    parts.append([None if t is None else t.float().cpu() for t in model(batch)])
                    done += len(parts[-1][0])
                    on_batch(len(parts[-1][0]))
            break
        except RuntimeError as error:
            if batch_size or size == 1 or not _is_out_of_memory(error):
                raise
        on_batch(-done)
        size //= 2
    features = torch.cat([H for H, _ in parts])  # (n, d)
    bad = (~features.isfinite()).any(1)
    if bad.any():
        raise ValueError(
            f"{model.name}: features of {int(bad.sum())} of {len(bad)} samples are NaN or infinite, the first of sample "
            f"{int(bad.nonzero()[0, 0])}; look at that sample, and at the model's weights"
        )
    arrays = {"features": features.numpy()}
    if parts[0][1] is not None:
        arrays["source_probs"] = torch.cat([p for _, p in parts]).numpy()  # (n, K_s)
    if getattr(model, "cut", 0):
        arrays["cut"] = np.array([model.cut, model.length])  # texts that were longer than so many tokens
    return arrays


@contextlib.contextmanager
def _borrowed(network: nn.Module, place: torch.device) -> Iterator[None]:
    """A network on a device and in evaluation mode; afterwards it is on the device and in the modes it came in."""
    modes = [(module, module.training) for module in network.modules()]
    came_from = next((tensor.device for tensor in (*network.parameters(), *network.buffers())), place)
    try:
        network.to(place).eval()
        yield
    finally:
        network.to(came_from)
        for module, training in modes:
            module.training = training


def _is_out_of_memory(error: RuntimeError) -> bool:
    said = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in said or "not enough memory" in said
