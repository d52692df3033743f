"""Terms measured on a model's source, and on a few images of the target."""

import numpy as np
import pandas as pd
import pytest

from ncrepro import metrics, ranking
from ncrepro.lab.analyses import low_shot, source_features
from ncrepro.ranking import resampling

MODELS = ["a", "b", "c"]


def test_the_totals_subtract_the_variability():
    terms = pd.DataFrame({
        "ncti_seli": [0.0, 1, 2], "ncti_ncc": [0.0, 0, 1], "ncti_log_vc": [0.0, 4, 4],
        "face_variance_collapse": [0.0, 1, 1], "face_class_fairness": [0.0, 0, 1], "logme": [5.0, 6, 7],
    }, index=MODELS)  # fmt: skip
    found = source_features.with_totals(terms)
    assert found["ncti"].to_list() == [0 + 0 - 0, 1 / 2 + 0 - 1, 1 + 1 - 1]
    assert found["face"].to_list() == [0 + 0, 1 + 0, 1 + 1] and found["logme"].to_list() == [5, 6, 7]


def test_the_step_on_the_source_finds_what_the_metrics_find():
    rng = np.random.default_rng(0)
    arrays = {"features": rng.normal(size=(60, 5)), "labels": np.repeat([0, 1, 2], 20)}
    found = source_features.source_terms(arrays, [{}])[0]
    ncti, face = metrics.ncti(*arrays.values()), metrics.face(*arrays.values())
    assert (found["ncti_log_vc"], found["face_class_fairness"]) == (ncti.log_vc, face.class_fairness)
    assert set(found) == {*source_features.TERMS, "logme"}


def test_samples_of_the_source_are_coupled_with_those_of_the_target():
    rng = np.random.default_rng(0)
    H, y = rng.normal(size=(30, 5)), np.repeat([0, 1, 2], 10)
    arrays = {"features": H, "labels": y, "source_features": H[::-1], "source_labels": y[::-1]}
    assert source_features.coupled(arrays, [{}])[0]["otce"] == pytest.approx(0, abs=1e-9)


def test_a_score_on_the_source_is_compared_with_each_target():
    rows = [(model, target, "source", "ncti_ncc", score, accuracy)
            for target, accuracies in {"t": [3, 2, 1], "u": [1, 2, 3]}.items()
            for model, score, accuracy in zip(MODELS, [9.0, 8, 7], accuracies, strict=True)]  # fmt: skip
    scores = pd.DataFrame(rows, columns=["model", "target", "features", "metric", "score", "accuracy"])
    found = source_features.agreement(scores).set_index("target")["weighted_kendall"]
    assert found.to_dict() == pytest.approx({"t": 1, "u": -1, "average": 0})


def measured(ncc):
    """NCTI's terms of three models on one target, for (per_class, draw) -> ncc."""
    rows = [
        (model, "t", size, draw, term, value)
        for (size, draw), values in ncc.items()
        for i, model in enumerate(MODELS)
        for term, value in {"ncti_ncc": values[i], "ncti_seli": float(i), "ncti_log_vc": -float(i)}.items()
    ]
    return pd.DataFrame(rows, columns=["model", "target", "per_class", "draw", "term", "score"])


SIZES = pd.DataFrame({"target": "t", "per_class": [2, 0], "n_samples": [20, 600]})


def test_regimes_count_models_with_more_features_than_samples_and_average_over_draws():
    table = measured({(2, 0): [0.5, 0.6, 1.0], (2, 1): [0.7, 0.8, 1.2], (0, 0): [0.1, 0.2, 0.3]})
    found = low_shot.regimes(table, SIZES, pd.Series([16, 20, 64], index=MODELS)).set_index("per_class")
    assert found["wide"].to_dict() == {2: 2 / 3, 0: 0}
    assert found.loc[2, "ncc"] == pytest.approx((0.7 + 0.9) / 2)
    assert found["consistency"].to_dict() == {2: 1, 0: 1}


def test_a_draw_in_which_ncc_is_one_for_every_model_has_no_ranking():
    table = measured({(2, 0): [1.0, 1.0, 1.0], (0, 0): [0.1, 0.2, 0.3]})
    found = low_shot.regimes(table, SIZES, pd.Series([16, 20, 64], index=MODELS)).set_index("per_class")
    assert found.loc[2, "spread"] == 0 and np.isnan(found.loc[2, "consistency"]) and found.loc[0, "consistency"] == 1


def test_rankings_compare_each_draw_with_the_accuracies():
    accuracies = pd.DataFrame({"t": [1.0, 2, 3]}, index=pd.Index(MODELS, name="model"))
    found = low_shot.rankings(measured({(2, 0): [0.1, 0.2, 0.3], (0, 0): [0.3, 0.28, 0.1]}), accuracies)
    assert found.set_index(["metric", "per_class"])["weighted_kendall"].to_dict() == {("ncti", 2): 1, ("ncti", 0): 1}


NINE = [*"abcdefghi"]


def of_nine(right):
    """NCTI's terms and a rival's score of nine models; ``right``: (per_class, draw) -> does NCTI rank them right (its
    rival always does).
    """
    rows = [
        (model, "t", size, draw, term, value)
        for (size, draw), correct in right.items()
        for i, model in enumerate(NINE)
        for term, value in {
            **dict.fromkeys(("ncti_seli", "ncti_ncc"), float(i if correct else (i * 5) % 9)),
            "ncti_log_vc": -float(i if correct else (i * 5) % 9),
            "leep": float(i),
        }.items()
    ]
    return pd.DataFrame(rows, columns=["model", "target", "per_class", "draw", "term", "score"])


def test_what_few_images_change_has_an_error():
    accuracies = pd.DataFrame({"t": np.arange(9.0)}, index=pd.Index(NINE, name="model"))
    sizes = pd.DataFrame({"target": "t", "per_class": [2, 10, 0], "n_samples": [20, 100, 600]})
    table = of_nine({(2, 0): False, (2, 1): False, (10, 0): True, (10, 1): False, (0, 0): True})
    found = low_shot.effects_of_few_images(table, accuracies, sizes, resampling.NONE, ["leep"]).set_index(
        ["what", "metric"]
    )
    half = (
        1 - ranking.weighted_kendall([(i * 5) % 9 for i in range(9)], accuracies["t"].to_numpy())
    ) / 2  # one of two draws is wrong
    assert found.loc[("above", "leep"), "difference"] == pytest.approx(-half, abs=0.1)
    assert found.loc[("margin", "ncti"), "difference"] == pytest.approx(-half, abs=0.1)
    assert (
        found.loc[("lost", "ncti"), "difference"] == pytest.approx(half, abs=0.1)
        and found.loc[("lost", "leep"), "difference"] == 0
    )
    assert found.loc[("same", "ncti"), "difference"] == pytest.approx(half, abs=0.15)
    assert found.loc[("above", "leep"), "error"] > half / 2**0.5  # the two draws of images disagree by as much


def test_without_a_draw_of_64_samples_their_differences_are_empty():
    accuracies = pd.DataFrame({"t": np.arange(9.0)}, index=pd.Index(NINE, name="model"))
    sizes = pd.DataFrame({"target": "t", "per_class": [2, 0], "n_samples": [20, 600]})
    found = low_shot.effects_of_few_images(
        of_nine({(2, 0): True, (0, 0): True}), accuracies, sizes, resampling.NONE, ["leep"]
    )
    assert found.set_index("what").loc["same", ["difference", "error"]].isna().all()


def test_the_size_nearest_to_ten_is_never_the_whole_target():
    assert low_shot.nearest_to_ten([0, 2, 5, 20]) == 5 and low_shot.nearest_to_ten([0, 50]) == 50
