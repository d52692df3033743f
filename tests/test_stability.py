"""What a choice costs, who beats whom, and which samples a draw takes."""

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from ncrepro import metrics, ranking
from ncrepro.figures import stability as figures
from ncrepro.lab.analyses import stability, subsamples
from ncrepro.lab.profiles import Pool
from ncrepro.ranking import resampling

MODELS = ["a", "b", "c", "d"]
ACCURACIES = pd.DataFrame(
    {"t": [90.0, 80.0, 70.0, 60.0], "u": [50.0, 40.0, 30.0, 20.0]}, index=pd.Index(MODELS, name="model")
)


def scored(**by_metric):
    rows = [(model, target, metric, score) for metric, values in by_metric.items() for target in ACCURACIES
            for model, score in zip(MODELS, values, strict=True)]  # fmt: skip
    return pd.DataFrame(rows, columns=["model", "target", "metric", "score"])


def test_a_choice_costs_the_distance_between_the_best_model_and_the_first():
    table = stability.choice_quality(
        scored(right=[4.0, 3, 2, 1], second=[2.0, 3, 1, 0], wrong=[1.0, 2, 3, 4]), ACCURACIES
    )
    of_t = table[table["target"] == "t"].set_index("metric")
    assert of_t.loc["right"].drop("target").to_list() == [0, 1, 1]
    assert of_t.loc["second"].drop("target").to_list() == [90 - 80, 0, 1]
    assert of_t.loc["wrong"].drop("target").to_list() == [90 - 60, 0, 0]


def test_a_choice_by_lot_costs_the_distance_to_the_mean():
    table = stability.choice_quality(scored(any=[4.0, 3, 2, 1]), ACCURACIES).set_index(["metric", "target"])
    assert table.loc[("random", "t")].to_list() == [90 - (90 + 80 + 70 + 60) / 4, 1 / 4, 3 / 4]


SIX = pd.DataFrame({"t": [9.0, 8, 7, 6, 5, 4], "u": [6.0, 5, 4, 3, 2, 1]}, index=pd.Index([*"abcdef"], name="model"))


def of_six(**by_metric):
    return pd.concat([pd.DataFrame({"model": SIX.index, "target": target, "metric": metric, "score": values})
                      for metric, values in by_metric.items() for target in SIX])  # fmt: skip


def test_a_ranking_that_is_always_right_beats_one_that_is_always_wrong_and_ties_with_its_double():
    found = stability.chances_to_win(
        of_six(right=[6.0, 5, 4, 3, 2, 1], double=[12.0, 10, 8, 6, 4, 2], wrong=[1.0, 2, 3, 4, 5, 6]), SIX
    )
    probability = found.set_index(["metric", "rival"])["probability"]
    assert probability["right", "wrong"] == pytest.approx(1, abs=1e-3) and probability[
        "wrong", "right"
    ] == pytest.approx(0, abs=1e-3)
    assert probability["right", "double"] == probability["double", "right"] == 1 / 2


def test_a_ranking_without_an_order_takes_no_part():
    found = stability.chances_to_win(
        of_six(right=[6.0, 5, 4, 3, 2, 1], other=[6.0, 5, 4, 3, 1, 2], flat=[1.0] * 6), SIX
    )
    assert set(found["metric"]) == {"right", "other"}


class Study:
    """Four models on two targets. ``right`` knows the accuracies; FaCe does too, in a minimum and a maximum that others
    have.
    """

    def __init__(self, sources):
        self.pool = Pool("p", ("a", "b"), sources, ("t", "u"), {}, {}, seeds=2)
        self.truth = ACCURACIES.set_axis(pd.Index([model.name for model in self.pool.models], name="model"))

    def ranked(self):
        return self._long("score").assign(metric="right"), self.truth

    def noise(self):
        return resampling.NONE

    def read(self, table):
        if table == "accuracies":
            return pd.concat([self._long("accuracy").assign(seed=seed) for seed in (0, 1)])
        terms = [
            self._long("score").assign(metric="face", term=term) for term in ("variance_collapse", "class_fairness")
        ]
        return pd.concat(terms)

    def _long(self, name):
        return self.truth.melt(ignore_index=False, var_name="target", value_name=name).reset_index()


def test_models_that_share_a_source_are_ranked_apart_from_those_that_do_not():
    one, several = Study(("s", "t")), Study(("s", "x"))
    found = stability.by_sources(one, several)
    groups = found[["n_sources", "n_models"]].drop_duplicates().values.tolist()
    assert groups == [
        [2, 4],
        [1, 2],
    ]  # the second pool has as many as the first, but two of its models have a source of their own
    assert set(found["metric"]) == {"right", "face", "other_seed", "other_target"}
    assert found["weighted_kendall"].to_list() == pytest.approx([1] * len(found))


def test_the_same_seed_resamples_the_same_models_for_every_score():
    scores = ACCURACIES["t"]
    one = ranking.bootstrap(ranking.pearson, scores, ACCURACIES["t"] ** 2, n=40, seed=3)
    other = ranking.bootstrap(ranking.pearson, 2 * scores + 1, ACCURACIES["t"] ** 2, n=40, seed=3)
    assert one == pytest.approx(other) and len(set(one.round(9))) > 5


def test_an_interval_is_made_of_the_quantiles_of_the_bootstrap():
    values = ranking.bootstrap(ranking.spearman, [1, 2, 4, 3], ACCURACIES["t"].to_numpy(), n=100, seed=1)
    interval = ranking.bootstrap_interval(
        ranking.spearman, [1, 2, 4, 3], ACCURACIES["t"].to_numpy(), n=100, seed=1, level=0.5
    )
    assert interval == pytest.approx((np.quantile(values, 0.25), np.quantile(values, 0.75)))


LABELS = np.repeat([0, 1, 2], [10, 6, 3])


def test_a_draw_takes_so_many_of_every_class_and_none_twice():
    kept = subsamples.sample_indices(LABELS, per_class=4, replace=False, draw=0)
    assert np.bincount(LABELS[kept]).tolist() == [4, 4, 3] and len(set(kept)) == 4 + 4 + 3
    assert set(kept) != set(subsamples.sample_indices(LABELS, 4, False, draw=1))


def test_a_draw_of_all_is_the_whole_target():
    assert sorted(subsamples.sample_indices(LABELS, 0, False, 5)) == list(range(10 + 6 + 3))


def test_a_bootstrap_sample_is_as_large_as_the_target_with_two_different_images_of_each_class():
    kept = subsamples.sample_indices(LABELS, 0, True, draw=2)
    assert np.bincount(LABELS[kept]).tolist() == [10, 6, 3] and len(set(kept)) < len(kept)
    assert all(len(set(kept[LABELS[kept] == k])) >= 2 for k in range(3))


def test_terms_that_were_measured_become_one_score_per_metric():
    rows = [(m, "t", 0, term, v) for term, values in {
        "ncti_seli": [0, 1, 2], "ncti_ncc": [0, 0, 1], "ncti_log_vc": [0, 4, 4], "logme": [5, 6, 7]}.items()
        for m, v in zip("abc", values, strict=True)]  # fmt: skip
    measured = pd.DataFrame(rows, columns=["model", "target", "draw", "term", "score"])
    found = subsamples.total_scores(measured, ["a", "b", "c"], ["draw"]).set_index(["metric", "model"])["score"]
    assert found["logme"].to_list() == [5, 6, 7]
    assert found["ncti"].to_list() == [0 + 0 - 0, 1 / 2 + 0 - 1, 1 + 1 - 1]


def test_a_step_finds_what_the_metrics_find():
    rng = np.random.default_rng(0)
    arrays = {"features": rng.normal(size=(60, 5)), "labels": np.repeat([0, 1, 2], 20)}
    found = subsamples.scored_but_nleep(arrays, [{"per_class": 5, "replace": False, "draw": 1}])[0]
    kept = subsamples.sample_indices(arrays["labels"], 5, False, 1)
    assert found == metrics.all_scores(arrays["features"][kept], arrays["labels"][kept], nleep=False)
    assert "leep" not in found


def test_the_two_published_ground_truths_disagree_as_stated():
    table = stability.published_truths().set_index(["score", "truth", "target"])["weighted_kendall"].sort_index()
    assert table["other_truth", "sfda", "aircraft"] == pytest.approx(0.12, abs=0.005)
    assert table["other_truth", "sfda", "cifar10"] == pytest.approx(0.81, abs=0.005)
    pd.testing.assert_series_equal(table["other_truth", "sfda"], table["other_truth", "tllib"])
    assert (
        round(table["h_score", "tllib", "sun397"], 3) == 0.918
        and round(table["leep", "tllib", "caltech101"], 3) == 0.127
    )  # as printed


# Training again -------------------------------------------------------------------------------------------------------

ROUGH = [5.0, 6, 3, 4, 2, 1]
RUN = {
    "accuracy": SIX.iloc[::-1].set_axis(SIX.index),
    "rough": pd.DataFrame(dict.fromkeys(SIX, ROUGH), index=SIX.index),
}


class Repeated:
    """Six models; the one repetition turned their accuracies round, and not the scores."""

    def __init__(self, noise):
        self._noise = noise

    def ranked(self, subset=None):
        return of_six(rough=ROUGH), SIX

    def noise(self, subset=None):
        return self._noise

    def read(self, table):
        terms = [of_six(face=ROUGH).assign(term=term) for term in ("variance_collapse", "class_fairness")]
        return pd.concat(terms)


def test_components_stand_side_by_side_and_what_nobody_measured_is_not_shown():
    found = stability.components(Repeated(resampling.Noise(images=SIX * 0 + 1)), None).set_index("component")
    assert list(found.index) == ["models", "images", "all"]
    width = found["high"] - found["low"]
    assert 0 < width["images"] < width["models"] <= width["all"]


def test_every_run_is_judged_by_its_own_accuracies():
    found = stability.over_runs(Repeated(resampling.Noise(runs=(RUN,))), None).set_index("run")["weighted_kendall"]
    right = ranking.weighted_kendall(ROUGH, SIX["t"].to_numpy())
    assert found.to_dict() == pytest.approx({0: right, 1: ranking.weighted_kendall(ROUGH, SIX["t"].to_numpy()[::-1])})


def test_points_tell_how_far_accuracies_stray():
    noise = resampling.Noise(images=SIX * 0 + 3, runs=({"accuracy": SIX + 2, "rough": RUN["rough"]},))
    found = stability.points(Repeated(noise), None).set_index("target").loc["t"]
    assert found[["images", "training", "runs"]].tolist() == pytest.approx([3, 2**0.5, 2]) and np.isnan(found["seeds"])


def test_a_model_that_is_left_out_moves_a_metric_with_a_known_error():
    found = (
        stability.without_each_model(Repeated(resampling.Noise(images=SIX * 0 + 1)), None)
        .query("metric == 'rough'")
        .set_index("left_out")
    )
    assert found.loc["", "error"] == 0 and (found.drop("")["error"] > 0).all()
    assert found.loc["a", "weighted_kendall"] == pytest.approx(
        ranking.weighted_kendall(ROUGH[1:], SIX["t"].to_numpy()[1:])
    )
    assert (
        stability.without_each_model(Repeated(resampling.NONE), None)["error"].isna().all()
    )  # nothing known: no verdict


def test_components_are_drawn_with_their_numbers_and_every_run():
    rows = [
        ("models", "ncti", 0.1, 0.0, 0.2),
        ("training", "ncti", 0.3, 0.2, 0.4),
        ("models", "leep", 0.5, 0.4, 0.6),
        ("training", "leep", 0.7, 0.6, 0.8),
    ]
    table = pd.DataFrame(rows, columns=["component", "metric", "weighted_kendall", "low", "high"])
    runs = pd.DataFrame({"run": [0, 1], "metric": "leep", "weighted_kendall": [0.65, 0.75]})
    axes = figures.sources_of_chance(
        table, runs, ["leep", "ncti"], {"models": "M", "images": "I", "training": "T"}, "title"
    ).axes
    assert [ax.get_title() for ax in axes] == ["M", "T"]
    dots = [line.get_xydata().tolist() for ax in axes for line in ax.lines if line.get_marker() == "o"]
    assert dots == [[[0.5, 0], [0.1, 1]], [[0.7, 0], [0.3, 1]]]
    assert [line.get_xydata().tolist() for line in axes[1].lines if line.get_marker() == "|"] == [
        [[0.65, 0], [0.75, 0]]
    ]
    plt.close("all")
