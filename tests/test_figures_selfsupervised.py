"""Pictures of the self-supervised objectives, and which term of a metric ranks what they have taught."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from ncrepro.figures import charts, selfsupervised
from ncrepro.figures.display_names import label
from ncrepro.lab import objectives
from ncrepro.lab.experiment import Experiment
from ncrepro.ranking import resampling

matplotlib.use("agg")

EVERY = sorted(objectives.OBJECTIVES)
MODELS = [*"abcdef"]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


# Pictures of the objectives -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_the_picture_of_an_objective_has_a_cell_per_pair_and_pulls_every_view_somewhere(name, root):
    panel = selfsupervised.panel(name)
    assert panel["roles"].shape == (len(panel["rows"]), len(panel["columns"]))
    assert np.abs(panel["roles"]).max() <= 1
    assert (panel["roles"].max(axis=1) > 0).all()
    figure = selfsupervised.comparisons({name: panel}, "title")
    cells = figure.axes[0].collections[0].get_array()
    np.testing.assert_array_equal(np.asarray(cells).ravel(), panel["roles"].ravel())


def test_objectives_that_compare_alike_share_a_picture_and_none_shows_an_image_of_a_data_set(root):
    figure = selfsupervised.selfsupervised_objectives("smoke").figure
    axes = [ax for ax in figure.axes if ax.get_visible()]
    assert {name for ax in axes for name in ax.get_title().split(", ")} == {label(name) for name in EVERY}
    pictures = [
        (*(text.get_text() for text in ax.texts), np.asarray(ax.collections[0].get_array()).tobytes()) for ax in axes
    ]
    assert len(set(pictures)) == len(pictures) < len(EVERY)
    assert not any(ax.images for ax in axes)


def test_only_byol_pushes_nothing_apart(root):
    assert [name for name in EVERY if (selfsupervised.panel(name)["roles"] >= 0).all()] == ["byol"]


def test_no_view_of_simclr_is_compared_with_itself(root):
    roles = selfsupervised.panel("simclr_v1")["roles"]
    assert (np.diag(roles) == 0).all() and (roles == roles.T).all()
    assert (roles == 1).sum(axis=1).tolist() == [1] * 6


def test_the_labels_of_sela_are_drawn_equally_often(root):
    assert (selfsupervised.panel("sela_v2")["roles"] == 1).sum(axis=0).tolist() == [2, 2]


# What was measured ----------------------------------------------------------------------------------------------------


def test_what_else_a_pretraining_measures_becomes_columns_and_its_weights_do_not(root, monkeypatch):
    sizes = {"n_parameters": 9, "n_features": 3, "n_classes": 2, "accuracy": 50.0, "seconds": 1.0, "peak_mb": 2.0}
    use = {"effective_rank": 1.5, "feature_std": 0.1, "live_features": 1.0}
    measured = {
        "random_accuracy": 20.0,
        "collapsed": 1.0,
        **use,
        "weights.bn.num_batches_tracked": 4,
        "weights.w": np.zeros(2),
    }
    arrays = {key: np.array(value) for key, value in (sizes | measured).items()}
    study = Experiment("selfsupervised")
    monkeypatch.setattr(study, "_run", lambda title, jobs: [arrays] * len(jobs))
    columns = (
        "model architecture source n_parameters n_features source_accuracy random_accuracy collapsed".split()
        + list(use)
    )
    assert study.pretrain().columns.tolist() == columns
    assert selfsupervised.collapsed_models(None) == [model.name for model in study.pool.models]
    assert selfsupervised._probes_hold("smoke")[1].word == "cannot be told here"
    assert selfsupervised._collapsed_text("smoke").startswith("collapsed: BYOL, DeepCluster-v2")


class Study:
    """Six models of rising accuracy; seli orders those of one pool, ncc those of the other, and the rest is
    reversed.
    """

    def __init__(self, pool, profile):
        self.pool, self.results = pool, selfsupervised.RESULTS

    def ranked(self, subset=None):
        assert subset == ("ncti" if self.pool == "supervised" else None)
        return None, pd.DataFrame(
            {"t": [1.0, 2, 3, 4, 5, 6], "u": [2.0, 3, 5, 8, 9, 12]}, index=pd.Index(MODELS, name="model")
        )

    def noise(self, subset=None):
        return resampling.NONE

    def read(self, table):
        if table == "terms":
            return pd.read_csv(self.results / "terms.csv")
        rising, falling = [1.0, 2, 3, 4, 5, 6], [6.0, 5, 4, 3, 2, 1]
        right = "seli" if self.pool == "supervised" else "ncc"
        terms = {("ncti", t): rising if t == right else falling for t in ("seli", "ncc")}
        terms |= {
            ("ncti", "log_vc"): rising,
            ("face", "variance_collapse"): rising,
            ("face", "class_fairness"): falling,
        }
        rows = [(m, target, metric, term, value) for (metric, term), values in terms.items()
                for target in "tu" for m, value in zip(MODELS, values, strict=True)]  # fmt: skip
        rows += [("of no pool", "t", "ncti", "seli", 9.0), ("a", "t", "ncti", "total", 0.0)]
        return pd.DataFrame(rows, columns=["model", "target", "metric", "term", "score"])


@pytest.fixture
def two_pools(tmp_path, monkeypatch):
    monkeypatch.setattr(selfsupervised, "RESULTS", tmp_path, raising=False)
    monkeypatch.setattr(selfsupervised, "Experiment", Study)


def test_each_term_is_judged_alone_in_both_pools(two_pools):
    found = selfsupervised.which_term().set_index(["pool", "terms"])["weighted_kendall"]
    for pool, right, wrong in (("supervised", "seli", "ncc"), ("self-supervised", "ncc", "seli")):
        assert found[pool, right] == pytest.approx(1)
        assert found[pool, wrong] == pytest.approx(-1)
        assert found[pool, "−log vc"] == pytest.approx(-1)  # it rises with accuracy, and lower is better
        assert found[pool, f"NCTI without {right}"] == pytest.approx(-1)
        assert found[pool, "VC"] == pytest.approx(1)
    assert selfsupervised._terms_hold("smoke")[1].word == "holds"


def test_terms_agree_as_far_as_they_order_alike(two_pools):
    found = selfsupervised.agreement()
    assert found["supervised"].to_dict() == pytest.approx({"seli, ncc": -1, "seli, −log vc": -1, "ncc, −log vc": 1})
    assert found["self-supervised"].to_dict() == pytest.approx(
        {"seli, ncc": -1, "seli, −log vc": 1, "ncc, −log vc": -1}
    )


# Figures --------------------------------------------------------------------------------------------------------------


def test_a_metric_without_any_value_is_shown_as_not_applicable():
    table = pd.DataFrame({"t": [np.nan, 0.5], "average": [np.nan, 0.5]}, index=["leep", "ncti"])
    ax = charts.correlation_heatmap(table, "title").axes[0]
    assert [text.get_text() for text in ax.texts if text.get_position()[1] == 0.5] == ["not applicable"]


def test_no_two_of_the_twelve_objectives_look_alike():
    styles = charts.model_styles(EVERY)
    assert len(set(styles.values())) == len(EVERY) == 12


def test_a_collapsed_model_is_marked_among_the_probes():
    rows = [("byol", 40.0, 50.0, 0), ("swav", 10.0, 1.5, 1)]
    table = pd.DataFrame(rows, columns=["model", "source_accuracy", "effective_rank", "collapsed"])
    left, right = selfsupervised.probes(table, 20.0, "title").axes
    crosses = [tuple(line.get_xydata()[0]) for line in left.lines if line.get_marker() == "X"]
    assert crosses == [(10.0, 0.0)]
    assert [text.get_text() for text in right.get_legend().get_texts()] == ["in use", "collapsed"]
