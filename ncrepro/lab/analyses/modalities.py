"""What changes the scores of items with image and text: one modality alone, scale, a missing one (`27_modalities`)."""

import numpy as np
import pandas as pd

from ... import metrics, ranking
from ...metrics import registry
from ...metrics.ncti import shrinkage as shrinkage_of
from ...metrics.scores import score
from ...store import artifacts
from ...store.artifacts import Arrays
from ..experiment import Experiment
from ..recipes import PAIR
from . import stack

POOL = "modalities"
SIDE_BY_SIDE, UNIT_LENGTH, IMAGES, TEXTS = "side by side", "length 1", "images alone", "texts alone"
SCALES = (0.1, 1.0, 10.0)  # what the features of the texts are multiplied by
SCALED = {scale: SIDE_BY_SIDE if scale == 1 else f"texts × {scale:g}" for scale in SCALES}
MISSING = {"half the texts missing": 1, "half the images missing": 0}  # which of the two parts
FEATURES = (SIDE_BY_SIDE, UNIT_LENGTH, IMAGES, TEXTS, *(n for n in SCALED.values() if n != SIDE_BY_SIDE), *MISSING)
TRUTHS = {"side by side": None, "late": "late"}  # way of fusing -> the subset of the pool that is judged by it
ADDED = "scores added"  # of images alone and of texts alone
SCORED = ("ncti", "face", "logme", "regularized_h_score", "gbc", "transrate", "linear_probe")  # need features only


def arrange_features(images: np.ndarray, texts: np.ndarray, features: str) -> np.ndarray:
    """The features of n items, (n, d), in one of the ways of ``FEATURES``.

    Parameters
    ----------
    images, texts : array of shape (n, d_i) and (n, d_t)
    features : str
        ``side by side``: as they are. ``length 1``: each item's image features, and its text features, are divided by
        their length first, so that the two weigh the same, as in the mean of two probabilities. ``texts × 10``: the
        text features times ten. ``half the texts missing``: those of every second item are replaced by their mean.
    """
    if features in (IMAGES, TEXTS):
        return images if features == IMAGES else texts
    parts = [images, texts]
    if features == UNIT_LENGTH:
        parts = [part / np.linalg.norm(part, axis=1, keepdims=True).clip(1e-12) for part in parts]
    elif features in MISSING:
        missing = MISSING[features]
        is_lost = np.arange(len(images))[:, None] % 2 == 1
        parts[missing] = np.where(is_lost, parts[missing].mean(0), parts[missing])
    else:
        scale = next(scale for scale, name in SCALED.items() if name == features)
        parts[1] = np.float32(scale) * parts[1]
    return np.concatenate(parts, axis=1)


def terms(arrays: Arrays, settings: list[dict]) -> list[dict[str, float]]:
    """The terms of ``SCORED`` under each setting, and ``alpha``: how much NCTI shrinks its covariance."""
    images, texts = np.split(arrays["features"], arrays["widths"][:1], axis=1)
    found = []
    for setting in settings:
        data = metrics.Samples(arrange_features(images, texts, setting["features"]), arrays["labels"])
        named = {}
        for name in SCORED:
            named |= registry.flat(name, score(name, data, None))
        found.append(named | {"alpha": shrinkage(data)})
    return found


def shrinkage(data: metrics.Samples) -> float:
    """How much NCTI shrinks its covariance of these samples: its α."""
    variances, _ = data.components()
    return float(shrinkage_of(variances))


def measure(profile: str | None) -> pd.DataFrame:
    """Scores of all pairs under ``FEATURES``, also added: (features, model, target, metric, score), written.

    A metric's score is its total over the pool. ``alpha`` stands among the metrics. In `ADDED` the scores of the images
    alone and of the texts alone are min-max normalised over the pool, and added.
    """
    study = Experiment(POOL, profile)
    return artifacts.table(study.results / "by_features.csv", lambda: _measured(study))


def _measured(study: Experiment) -> pd.DataFrame:
    rows = study.measure(terms, [{"features": name} for name in FEATURES])
    named = [registry.split(name) for name in rows["term"]]
    rows = rows.assign(metric=[metric for metric, _ in named], term=[term for _, term in named])
    totals = ranking.totals(rows, by=("features", "target", "metric"))
    apart = totals[totals["features"].isin([IMAGES, TEXTS]) & (totals["metric"] != "alpha")]
    scores = apart.groupby(["features", "target", "metric"])["score"]
    scaled = (apart["score"] - scores.transform("min")) / (scores.transform("max") - scores.transform("min"))
    added = apart.assign(score=scaled).groupby(["model", "target", "metric"], sort=False, as_index=False)["score"].sum()
    return pd.concat([totals, added.assign(features=ADDED)])[["features", "model", "target", "metric", "score"]]


def judge_scores(profile: str | None) -> pd.DataFrame:
    """How well the scores that `measure` wrote rank the pairs: (truth, features, metric, target, weighted_kendall).

    ``truth``: by which accuracies they are judged, those of pairs that were fine-tuned ``side by side`` or ``late``.
    """
    study = Experiment(POOL, profile)
    scores = study.read("by_features").query("metric != 'alpha'")
    by = ("features", "metric")
    return stack({truth: ranking.agreement(scores, study.ranked(of)[1], by) for truth, of in TRUTHS.items()}, "truth")


def single_encoder_accuracies(profile: str | None) -> pd.DataFrame:
    """Accuracy of each encoder of each pair, fine-tuned alone: (model, target, images, texts), mean over its partners.

    The two networks of late fusion learn apart from each other, so each encoder was tuned alone once for each partner.
    """
    study = Experiment(POOL, profile)
    table = study.read("accuracies").groupby(["model", "target"], sort=False)[["images", "texts"]].mean().reset_index()
    for position, part in enumerate(("images", "texts")):
        own = {m.name: "@".join(n.split(PAIR)[position] for n in (m.architecture, m.source)) for m in study.pool.models}
        table[part] = table.groupby([table["model"].map(own), "target"])[part].transform("mean")
    return table
