"""What is timed, and what the figure of the times shows."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from ncrepro import metrics
from ncrepro.figures import cost as pictures
from ncrepro.figures.display_names import label
from ncrepro.lab import scoring_cost
from ncrepro.lab.experiment import Experiment
from ncrepro.metrics import registry
from ncrepro.store import artifacts

matplotlib.use("agg")


def test_the_relative_difference_is_the_largest_over_the_terms():
    assert scoring_cost.relative_difference((2.0, 3.3, 4.0), metrics.NCTITerms(2.0, 3.0, 4.0)) == pytest.approx(
        3.3 / 3 - 1
    )
    assert scoring_cost.relative_difference(-1.01, -1.0) == pytest.approx(0.01)


@pytest.fixture
def study(root):
    """The smoke pool with made-up features in its cache and a made-up table of correlations."""
    study, rng = Experiment("supervised"), np.random.default_rng(0)
    labels = np.arange(30) % 3
    for model in study.pool.models:
        for target in study.pool.targets:
            job = study._extraction(model, target)
            features = rng.standard_normal((30, 8)) + 2 * labels[:, None]
            probs = rng.dirichlet(np.ones(5), 30)
            artifacts.save(job.path, {"features": features, "labels": labels, "source_probs": probs}, job.spec)
    rows = pd.DataFrame({"target": ["digits", "average"], "metric": "ncti", "weighted_kendall": [0.1, 0.7]})
    artifacts.write(study.results / "correlations.csv", rows.to_csv(index=False))
    return study


def test_every_metric_is_timed_once_per_model_and_target(study, monkeypatch):
    monkeypatch.setattr(scoring_cost, "TIMED", 99)
    table = scoring_cost.score_pool(
        study, {"h_score": lambda features, labels: 1.5 * metrics.h_score(features, labels)}
    )
    ours = table[table["implementation"] == scoring_cost.OURS].set_index("metric")
    assert set(ours.index) == {*registry.METRICS, scoring_cost.TOGETHER} - {"otce"}  # no source samples are given
    assert set(table["runs"]) == {len(study.pool.models) * len(study.pool.targets)}
    assert (table["seconds"] > 0).all()
    assert ours.loc["ncti", "weighted_kendall"] == 0.7
    plain = table[table["implementation"] == scoring_cost.PLAIN].iloc[0]
    assert plain["metric"] == "h_score" and plain["difference"] == pytest.approx(0.5)
    pd.testing.assert_frame_equal(study.read("seconds_cost"), table, rtol=1e-5)


def test_of_many_feature_sets_some_are_timed_and_all_are_reckoned(study, monkeypatch):
    monkeypatch.setattr(scoring_cost, "TIMED", 3)
    ticks = iter(range(100_000))
    monkeypatch.setattr(scoring_cost.time, "process_time", lambda: float(next(ticks)))  # every call takes one second
    table = scoring_cost.score_pool(study, {"h_score": metrics.h_score})
    assert set(table["runs"]) == {3}
    assert set(table["seconds"]) == {len(study.pool.models) * len(study.pool.targets)}


def test_the_figure_puts_each_metric_at_its_time_and_rank():
    table = pd.DataFrame({
        "pool": "supervised", "implementation": ["this package", "this package", "plain"],
        "metric": ["ncti", "gbc", "ncti"], "seconds": [1.0, 2.0, 5.0], "weighted_kendall": [0.6, 0.5, 0.6],
    })  # fmt: skip
    lines = pd.DataFrame({"pool": ["supervised"], "what": ["fine-tuning"], "seconds": [100.0]})
    ax = pictures.time_against_ranking(table, lines, "title").axes[0]
    points = [line for line in ax.lines if len(line.get_xydata()) == 1]
    colours = {tuple(line.get_xydata()[0]): line.get_markerfacecolor() for line in points}
    assert colours.keys() == {(1.0, 0.6), (2.0, 0.5), (5.0, 0.6)} and colours[5.0, 0.6] == "white"
    assert [text.get_ha() for text in ax.texts] == ["right"]
    assert ax.get_xscale() == "log" and label("supervised") in ax.get_title()
    plt.close("all")


def test_the_texts_of_two_near_times_stand_on_different_sides():
    table = pd.DataFrame(
        {"pool": ["text"], "implementation": ["plain"], "metric": ["ncti"], "seconds": [1.0], "weighted_kendall": [0.6]}
    )
    lines = pd.DataFrame({"pool": "text", "what": ["later", "first", "last"], "seconds": [9.0, 8.5, 300.0]})
    ax = pictures.time_against_ranking(table, lines, "title").axes[0]
    assert {text.get_text(): text.get_ha() for text in ax.texts} == {"first": "right", "later": "left", "last": "right"}
    plt.close("all")
