"""Features of a few models, committed, for notebooks that are read before anything has run (`store.cold_notebooks`).

float16, a third of a megabyte at most for each model; ``make sample`` makes them anew from a profile's cache.
"""

from pathlib import Path

import numpy as np

from ..store import artifacts, cold_notebooks, paths
from ..store.artifacts import Arrays

# Profile -> pool -> the target, and the models. Notebooks show the first model of every pool and the first of NCTI's.
CHOSEN = {
    "demo": {
        "supervised": (
            "digits",
            ("densenet201", "resnet34", "mobilenet_v2", "googlenet", "inception_v3", "mnasnet1_0"),
        ),
        "selfsupervised": ("fontid", ("byol",)),
        "segmentation": ("street", ("rooms",)),
        "text": ("parameters_scipy", ("roberta_rdrop@parameters_sklearn",)),
        "time_series": ("arrow_head", ("resnet1d@signals",)),
        "modalities": ("numbers", ("resnet50+roberta@latin+parameters_sklearn",)),
    },
}


def pairs(profile: str, pool: str) -> list[tuple[str, str]]:
    """(model, target) of a pool's sample; none if the profile has no sample of it."""
    target, models = CHOSEN.get(profile, {}).get(pool, ("", ()))
    return [(model, target) for model in models]


def load(profile: str, pool: str, model: str, target: str) -> Arrays:
    """What `Experiment.features_of` gives of a model, by the sample."""
    if (model, target) not in pairs(profile, pool):
        raise cold_notebooks.missing(f"the committed sample has no features of {model} on {target}", profile)
    path, spec = _place(profile, pool, model, target)
    packed = artifacts.load(path, spec)
    if packed is None:
        name = paths.relative(path)
        raise OSError(f"{name} is missing or damaged: `git checkout {name}` brings it back")
    arrays = {name: a.astype(np.int64 if name == "labels" else np.float32) for name, a in packed.items()}
    if "source_probs" in arrays:
        arrays["source_probs"] /= arrays["source_probs"].sum(axis=1, keepdims=True)  # float16 lost what makes it 1
    return arrays


def pack(profile: str, pool: str, model: str, target: str, arrays: Arrays) -> float | None:
    """Put these features into the sample, and return how far they are from the old ones: 0 if they are the same, None
    if there were none.
    """
    path, spec = _place(profile, pool, model, target)
    small = {name: arrays[name].astype(np.float16) for name in ("features", "source_probs") if name in arrays}
    small["labels"] = arrays["labels"].astype(np.min_scalar_type(arrays["labels"].max()))
    before = artifacts.load(path, spec)
    if before is None or _shapes(before) != _shapes(small):
        artifacts.save(path, small, spec)
        return None
    difference = max(float(np.abs(before[name].astype(float) - small[name].astype(float)).max()) for name in small)
    if difference:
        artifacts.save(path, small, spec)
    return difference


def _shapes(arrays: Arrays) -> dict[str, tuple]:
    return {name: a.shape for name, a in arrays.items()}


def _place(profile: str, pool: str, model: str, target: str) -> tuple[Path, dict]:
    """The file of a model's features, and the spec in it."""
    spec = {"pool": pool, "model": model, "target": target}
    return paths.sample(profile, pool) / f"{model}-{target}.safetensors", spec
