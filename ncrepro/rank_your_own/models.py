"""Models of a reader's own choice: a name, a file of weights or a network -> what turns samples into features.

`resolve` answers everything that can be wrong with a model (a mistyped name, weights that are missing, a file that is
no weights or another network's) before any sample is looked at.
"""

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from torch.nn.parameter import is_lazy

from ..extraction import networks, object_digest, weights
from ..extraction.features import Classifier, ImageModel, Model
from ..extraction.networks import TIMM
from ..extraction.preprocessing import IMAGENET, REDUCED, Transform, Wrapped, transform_of
from ..extraction.text_models import TextModel
from ..lab import losses
from ..lab import models as reduced
from ..lab.tasks import classification
from ..store import file_digests
from ..store.schema import suggestion

SOME_TEXT_MODELS = (
    "bert-base-uncased bert-base-cased bert-base-multilingual-cased distilbert-base-uncased roberta-base "
    "roberta-large albert-base-v2 microsoft/deberta-v3-base google/electra-base-discriminator xlm-roberta-base "
    "sentence-transformers/all-MiniLM-L6-v2 gpt2"
).split()


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
    is_classifier : bool
        Whether it is known to end in a classifier. This is not known of a reader's own network: an embedding may be a
        linear layer, too.
    """

    name: str
    spec: dict | None
    load: Callable[[], Model]
    caution: str = ""
    is_classifier: bool = False


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


def _named(given: Any) -> dict[str, Any]:
    """Models by the name they have in the table."""
    if isinstance(given, str):
        given = given.split()
    if isinstance(given, Mapping):
        given = [(str(name), what) for name, what in given.items()]
    elif isinstance(given, nn.Module) or not isinstance(given, Iterable | None):  # a Sequential is a list of its layers
        raise ValueError(
            f"models is a {type(given).__name__}; allowed are a list of models, a dict of name -> model, and names "
            "separated by blanks"
        )
    else:
        given = [(_name_of(what), what) for what in (() if given is None else given)]
    named: dict[str, Any] = {}
    for name, what in given:
        if name in named:
            raise ValueError(
                f"two models are called {name!r}: give each a name of its own, as in models={{'first': ..., 'second': "
                "...}, or 'first=resnet50:first.pth'"
            )
        named[name] = what
    return named


def _name_of(what: Any) -> str:
    if isinstance(what, (str, Path)):
        left, right = _parts(str(what))
        return left or (re.sub(r"-[0-9a-f]{16}$", "", Path(right).stem) if _is_file(right) else right)
    network = what[0] if isinstance(what, tuple) and what else what
    return str(getattr(network, "name", type(network).__name__))


def _parts(what: str) -> tuple[str, str]:
    """What stands before and after the ``=`` of a model; an existing path may hold one itself."""
    if Path(what).expanduser().exists():
        return "", what
    left, _, right = what.partition("=") if "=" in what else ("", "", what)
    return left, right


def _is_file(what: str) -> bool:
    """Whether a text means a file of weights, even one that is missing."""
    path = Path(what).expanduser()
    return path.suffix.lower() in weights.SUFFIXES or (path.is_file() and what not in networks.names())


# Image models ---------------------------------------------------------------------------------------------------------


def _image_model(name: str, what: Any) -> Callable[[], Candidate]:
    if isinstance(what, nn.Module):
        what = (what, None)
    if isinstance(what, tuple) and len(what) == 2 and isinstance(what[0], nn.Module):
        if not (what[1] is None or callable(what[1])):
            raise ValueError(
                f"model {name!r}: its transform is {what[1]!r}; allowed is a function of an image, or None"
            )
        return partial(_of_network, name, *what)
    if not isinstance(what, (str, Path)):
        raise ValueError(
            f"model {name!r} is a {type(what).__name__}; allowed are a name, 'ARCHITECTURE=FILE', a torch.nn.Module, "
            "and a pair of a module and its transform"
        )
    left, right = _parts(str(what))
    if left or _is_file(right):
        return _of_path(name, left or right, right)
    _check_architecture(str(what))
    return partial(_of_name, name, str(what))


def _check_architecture(name: str) -> None:
    if name.startswith(TIMM):
        networks.checkpoint(name)  # says which names are near
    elif name not in networks.names():
        hint = suggestion(name, networks.names()) or "torchvision has no similar name."
        raise ValueError(
            f"unknown model {name!r}: {hint} Allowed are the names of torchvision.models.list_models(), {TIMM}NAME, "
            f"ARCHITECTURE=FILE with a file of weights ({', '.join(weights.SUFFIXES)}), and torch.nn.Module"
        )


def _of_name(name: str, architecture: str) -> Candidate:
    found = networks.checkpoint(architecture)
    spec = {"architecture": architecture, "weights": networks.fetch(found), "transform": repr(found.transform)}
    return Candidate(name, spec, partial(_load_published, name, architecture), is_classifier=found.is_classifier)


def _load_published(name: str, architecture: str) -> ImageModel:
    return _load_file(name, architecture, networks.checkpoint(architecture).file)


def _of_path(name: str, left: str, right: str) -> Callable[[], Candidate]:
    """``ARCHITECTURE=FILE``, ``NAME=ARCHITECTURE:FILE``, or a file of ours, which says its own architecture."""
    architecture, colon, file = right.partition(":")
    if not colon or Path(right).exists():
        architecture, file = left, right
    path = Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"model {name!r}: there is no file {path}")
    spec = _spec_inside(path)
    if spec and colon and architecture != spec["architecture"]:
        raise ValueError(
            f"model {name!r}: {path.name} says of itself that it is a {spec['architecture']}, not a {architecture}; "
            "leave the name out"
        )
    if spec is None:
        if architecture not in networks.names() and not architecture.startswith(TIMM):
            hint = suggestion(architecture, networks.names())
            raise ValueError(
                f"model {name!r}: which architecture do the weights in {path.name} belong to? {architecture!r} is "
                f"none{hint and '; ' + hint}; write resnet50={path.name}, or NAME=resnet50:{path.name}"
            )
        _check_architecture(architecture)
    return partial(_of_file, name, architecture, path, spec)


def _of_file(name: str, architecture: str, path: Path, spec: dict | None) -> Candidate:
    load = partial(_load_trained_here, name, path, spec) if spec else partial(_load_file, name, architecture, path)
    transform = load().transform  # reads the file once, so that one that does not fit is found before the work
    known = {"architecture": architecture, "weights": file_digests.of_file(path), "transform": repr(transform)}
    return Candidate(name, known, load, is_classifier=spec is not None)


def _spec_inside(path: Path) -> dict | None:
    """What an image classifier that this project trained says of itself; None for any other file."""
    if path.suffix != ".safetensors":
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            spec = json.loads((file.metadata() or {}).get("spec", "{}"))
    except (SafetensorError, ValueError):
        return None
    return spec if spec.get("architecture") in reduced.names() and "source" in spec else None


def _load_trained_here(name: str, path: Path, spec: dict) -> ImageModel:
    with safe_open(path, framework="numpy") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}
    return Classifier(name, losses.adapt(classification.restore(spec, arrays), spec["loss"]), REDUCED)


def _load_file(name: str, architecture: str, path: Path) -> ImageModel:
    network = networks.restore(architecture, weights.read(path), path)
    return ImageModel(name, network, networks.checkpoint(architecture).transform)


def _of_network(name: str, network: nn.Module, transform: Any) -> Candidate:
    if isinstance(network, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        network = network.module  # the layers of a copy per device could not be watched
    network = getattr(network, "_orig_mod", network)  # nor those that torch.compile made one of
    if any(is_lazy(x) or x.is_meta for x in (*network.parameters(), *network.buffers())):
        raise ValueError(
            f"model {name!r} has layers without weights, lazy ones or on the device 'meta': load its weights, or run "
            "it once on a batch of images"
        )
    transform, caution = transform or _transform_inside(network), ""
    if not transform and (transform := transform_of(network)) and not hasattr(network, "pretrained_cfg"):
        caution = "no transform was given with it, so that of timm's network inside was used"
    if not transform:
        transform, caution = IMAGENET, "no transform was given with it, so ImageNet's was used (224 pixels)"
    if not isinstance(transform, Transform):
        transform = Wrapped(transform)
    known = object_digest.of((network, transform))
    return Candidate(name, {"module": known} if known else None, partial(ImageModel, name, network, transform), caution)


def _transform_inside(network: nn.Module) -> Any:
    """What a network carries as ``transform``, unless that is a part of the network, as a spatial transformer is."""
    transform = getattr(network, "transform", None)
    is_part = isinstance(transform, nn.Module) and not type(transform).__module__.startswith("torchvision.transforms.")
    return transform if callable(transform) and not is_part else None


# Text models ----------------------------------------------------------------------------------------------------------


def _text_model(name: str, what: Any) -> Callable[[], Candidate]:
    if not isinstance(what, (str, Path)):
        raise ValueError(
            f"model {name!r} is a {type(what).__name__}; for texts allowed are Hugging Face names and folders"
        )
    where = _parts(str(what))[1]
    folder = Path(where).expanduser()
    return partial(_of_hub, name, str(folder) if folder.is_dir() else where)


def _of_hub(name: str, where: str) -> Candidate:
    transformers = _transformers()
    transformers.utils.logging.disable_progress_bar()
    try:
        config = transformers.AutoConfig.from_pretrained(where)
        load = partial(_load_text, name, where)
        load()  # downloads what is missing
    except Exception as error:  # what is no model of its kind raises errors of any type
        raise OSError(
            f"{where}: {_why_not(where, (str(error).strip() or type(error).__name__).splitlines()[0])}"
        ) from None
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
        return (
            f"this folder holds no model that transformers can read ({error[:160]}): it needs config.json, all weights "
            "and a tokenizer, as save_pretrained of the model itself writes them"
        )
    hint = "" if where in SOME_TEXT_MODELS else suggestion(where, SOME_TEXT_MODELS)
    return (
        f"neither a folder here nor a model that could be had from Hugging Face ({error[:160]}){hint and '; ' + hint}; "
        f"without a network, run `hf download {where} --local-dir FOLDER` where there is one and give FOLDER "
        "(config.json, model.safetensors, tokenizer) in place of the name"
    )


def _transformers():
    try:
        import transformers  # only those who rank text models need it
    except ModuleNotFoundError:
        raise ValueError("text models need transformers, which is not installed: pip install transformers") from None
    return transformers


def _load_text(name: str, where: str) -> TextModel:
    transformers = _transformers()
    tokenizer = transformers.AutoTokenizer.from_pretrained(where)
    whole, found = transformers.AutoModel.from_pretrained(where, dtype=torch.float32, output_loading_info=True)
    network = whole
    # An encoder saved alone, as T5EncoderModel, says that it has no decoder, but AutoModel makes one for it.
    if whole.config.is_encoder_decoder or "decoder_input_ids" in inspect.signature(whole.forward).parameters:
        network = whole.get_encoder()
    if lacking := _random_weights(whole, network, found):
        raise ValueError(
            f"its file of weights lacks {len(lacking)} of those that config.json asks for, as {lacking[0]}"
        )
    return TextModel(name, network, tokenizer)


def _random_weights(whole: nn.Module, network: nn.Module, found: dict) -> list[str]:
    """Weights of ``network``, a part of ``whole``, that no file gave and transformers drew; a pooler's change no
    feature.
    """
    used = {id(x) for x in network.state_dict(keep_vars=True).values()}
    names = [name for name, x in whole.state_dict(keep_vars=True).items() if id(x) in used]
    drawn = {*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])}
    return [name for name in names if name in drawn and "pooler" not in name.split(".")]
