"""A pool that is a product of two factors, taken apart."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from ncrepro import ranking
from ncrepro.figures import loss_functions, multi_source
from ncrepro.lab import experiment
from ncrepro.lab.profiles import Pool
from ncrepro.ranking import resampling

matplotlib.use("agg")

TERMS = ("variance_collapse", "class_fairness")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


class Study:
    """Two architectures x three sources. Architecture b is better by 40 points, though every score says the opposite;
    among
    sources of one architecture every score is right."""

    def __init__(self, folder):
        self.results = folder
        self.pool = Pool("p", ("a", "b"), ("s", "t", "u"), ("x", "y"), {}, {})
        lift, source = {"a": 0.0, "b": 40.0}, {"s": 1.0, "t": 2.0, "u": 4.0}
        self.rows = [
            (m.name, target, lift[m.architecture], source[m.source]) for m in self.pool.models for target in "xy"
        ]

    def ranked(self):
        table = pd.DataFrame(
            [(m, target, a + s) for m, target, a, s in self.rows], columns=["model", "target", "accuracy"]
        )
        accuracies = table.pivot(index="model", columns="target", values="accuracy")
        return ranking.totals(self.read("scores")), accuracies

    def noise(self):
        return resampling.Noise(images=self.ranked()[1] * 0 + 1)

    def read(self, table):
        if table == "pretraining":
            return pd.DataFrame(
                {"model": [m.name for m in self.pool.models], "source_accuracy": range(6), "n_parameters": 7}
            )
        if table == "correlations":
            return experiment.correlations(*self.ranked())
        single = [(m, target, "leep", "total", s - a) for m, target, a, s in self.rows]
        several = [(m, target, "face", term, s - a) for m, target, a, s in self.rows for term in TERMS]
        return pd.DataFrame(single + several, columns=["model", "target", "metric", "term", "score"])


def test_each_question_compares_only_models_that_agree_in_its_factor(tmp_path):
    study = Study(tmp_path)
    table = multi_source.rankings_by_factor(study, {"which source?": "architecture", "which architecture?": "source"})
    found = table.set_index(["question", "metric"])["weighted_kendall"]
    for metric in ("leep", "face"):
        assert found["which source?", metric] == pytest.approx(1)
        assert found["which architecture?", metric] == pytest.approx(-1)
        assert -1 < found[multi_source.ALL, metric] < 0
    assert np.isnan(found["which source?", "n_parameters"])
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "questions.csv"), table, check_dtype=False)


def test_means_by_factor_are_over_the_models_that_have_it_in_the_order_of_the_pool(tmp_path):
    study = Study(tmp_path)
    values = study.ranked()[1].stack().rename_axis(["model", "target"])
    table = multi_source.by_factor(study, values, "source")
    assert table.index.tolist() == ["s", "t", "u"]
    assert table.loc["u", "y"] == ((0 + 4) + (40 + 4)) / 2
    assert multi_source.by_factor(study, values, "architecture").loc["b", "x"] == pytest.approx(40 + (1 + 2 + 4) / 3)


def test_shades_go_from_the_worst_to_the_best():
    assert multi_source.rank_shades(pd.Series([3.0, 9.0, 5.0])).tolist() == [0, 1, 0.5]


def test_the_matrix_of_sources_puts_the_best_source_first_and_shows_ranks_of_metrics(tmp_path, monkeypatch):
    monkeypatch.setattr(multi_source, "SHOWN", ["face"])
    table = multi_source.source_table(Study(tmp_path))
    first = table.drop_duplicates("panel").set_index("panel")
    assert first["row"].tolist() == ["u", "u"]
    assert first.loc["accuracy (%)", "text"] == f"{((0 + 4) + (40 + 4)) / 2:.0f}"
    assert first.loc["FaCe", "text"] == "1.0"
    assert first["shade"].tolist() == [1, 1]


def test_a_matrix_writes_every_text_into_its_cell():
    table = pd.DataFrame(
        {"panel": ["p", "p", "q", "q"], "row": list("abab"), "column": "x", "text": list("1234"), "shade": [0, 1, 1, 0]}
    )
    figure = multi_source.matrices(table, "title", "rank")
    texts = [[(text.get_position(), text.get_text()) for text in ax.texts] for ax in figure.axes[:2]]
    assert texts == [[((0, 0), "1"), ((0, 1), "2")], [((0, 0), "3"), ((0, 1), "4")]]


def test_questions_are_drawn_with_their_numbers_and_metrics_without_any_are_left_out():
    table = pd.DataFrame({
        "question": ["all"] * 3 + ["some"] * 3, "metric": ["ncti", "face", "n_parameters"] * 2,
        "weighted_kendall": [0.1, 0.5, np.nan, 0.4, np.nan, np.nan], "low": 0.0, "high": 0.6,
    })  # fmt: skip
    axes = multi_source.questions(table, "title", "95 % of draws").axes
    points = [[line.get_xydata() for line in ax.lines if line.get_marker() == "o"][0] for ax in axes]
    np.testing.assert_array_equal(points[0], [(0.5, 0), (0.1, 1)])
    np.testing.assert_array_equal(points[1], [(np.nan, 0), (0.4, 1)])
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == ["FaCe", "NCTI"]
    for ax, missing in zip(axes, ([], [0]), strict=True):
        assert [text.get_position()[1] for text in ax.texts if text.get_text() == "n/a"] == missing
        assert ax.get_ylim()[0] > max(ax.get_yticks()) and ax.get_ylim()[1] < min(
            ax.get_yticks()
        )  # no name stands beside the axis


def test_the_drawn_margin_is_the_one_that_trains():
    angles = np.array([0, np.pi / 4, np.pi])
    np.testing.assert_allclose(loss_functions._margin(angles, 4), [1, -1, -1 - 2 * 3], atol=1e-12)
