"""What the notebooks on small pools share: luck as a yardstick, claims in a table, figures that draw their tables."""

from itertools import permutations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from ncrepro import ranking
from ncrepro.figures import findings, small_pools
from ncrepro.ranking.verdicts import UNKNOWN, exact

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_nine_in_ten_of_all_rankings_of_five_models_stay_below_what_luck_gives():
    truth = np.arange(5.0)
    found = np.array([ranking.weighted_kendall(np.array(order), truth) for order in permutations(truth)])
    assert len(found) == 120
    assert 108 / 120 <= np.mean(found <= findings.by_chance(5, level=0.9)) < 111 / 120  # some tie
    assert findings.by_chance(2) == pytest.approx(-1 + 0.95 * 2)  # of two rankings, one is right and one wrong


def test_the_more_models_the_less_luck_gives():
    few, some, many = (findings.by_chance(n) for n in (4, 8, 16))
    assert 1 > few > some > many > 0


def test_a_line_gives_a_metric_with_its_interval():
    table = pd.DataFrame({"metric": ["face"], "weighted_kendall": [0.456], "low": [-0.111], "high": [0.9]})
    assert findings.line(table, "face") == "FaCe **0.46** (-0.11 to 0.90)"


def test_claims_become_rows_of_a_table():
    table = findings.claims_table([("it rains", "3 drops", exact(True, "seen")), ("it snows", "none", UNKNOWN)])
    assert table.splitlines()[2:] == ["| it rains | 3 drops | holds |", "| it snows | none | cannot be told here |"]


def test_bars_are_as_high_as_the_table_says():
    table = pd.DataFrame({
        "target": ["pixels", "pixels", "classes", "classes"], "metric": ["face", "leep"] * 2,
        "weighted_kendall": [0.1, 0.2, 0.3, -0.4], "pearson": [0.5, 0.6, 0.7, 0.8], "low": -0.9, "high": 0.9,
    })  # fmt: skip
    figure = small_pools.correlation_bars(table, ["leep", "face"], 0.5, "title", "95 % of draws of other models only")
    heights = [[bar.get_height() for bars in ax.containers for bar in bars] for ax in figure.axes]
    assert heights == [[0.2, 0.1, -0.4, 0.3], [0.6, 0.5, 0.8, 0.7]]  # leep, face by pixels; leep, face by classes
    assert [text.get_text() for text in figure.axes[1].get_xticklabels()] == ["LEEP", "FaCe"]


def test_every_fine_tuning_is_drawn_and_the_best_model_is_on_top():
    table = pd.DataFrame({"model": ["a", "a", "b", "b"], "measure": "accuracy", "value": [10.0, 20.0, 40.0, 30.0]})
    ax = small_pools.gain_of_pretraining(table, {"accuracy": 25.0}, "random weights", "title").axes[0]
    points, means, scratch = (line.get_xydata().tolist() for line in ax.lines)
    assert points == [[10, 0], [20, 0], [40, 1], [30, 1]]
    assert means == [[15, 0], [35, 1]]
    assert [x for x, _ in scratch] == [25, 25]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]
