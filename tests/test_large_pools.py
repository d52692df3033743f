"""How many of many candidates must be fine-tuned, and what an outlier does to a total."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ncrepro import ranking
from ncrepro.lab import published
from ncrepro.lab.analyses import large_pools, published_pools
from ncrepro.store import paths

# Places ---------------------------------------------------------------------------------------------------------------


def test_the_place_is_that_of_the_first_good_model():
    scores = np.array([[3.0, 2, 1, 0], [0.0, 1, 2, 3]])
    assert large_pools.places(scores, np.array([False, True, False, True])).tolist() == [2, 1]


def test_a_good_model_that_ties_with_bad_ones_comes_after_them():
    good = np.array([True, False, False, True])
    assert large_pools.places(np.array([1.0, 1, 1, 0]), good) == 3
    assert large_pools.places(np.array([1.0, 0, 0, 1]), good) == 1  # a tie of good ones costs nothing


def test_enough_serves_19_of_20_rankings():
    assert large_pools.shortlist_length(np.arange(1, 101)) == 95
    assert (
        large_pools.shortlist_length(np.array([1] * 19 + [50])) == 1
        and large_pools.shortlist_length(np.array([1] * 18 + [50] * 2)) == 50
    )


def test_by_lot_the_best_of_n_needs_19_of_20_models():
    """The closed form: the place of one model is uniform; of the first of m good ones it is hypergeometric."""
    n, m, rng = 40, 4, np.random.default_rng(0)
    scores = large_pools.simulated_scores(np.arange(n), 0.0, rng.standard_normal((20000, n)))
    assert large_pools.shortlist_length(large_pools.places(scores, np.arange(n) == n - 1)) == pytest.approx(
        0.95 * n, abs=1
    )
    none = np.cumprod([(n - m - k) / (n - k) for k in range(n - m)])  # no good one among the first k + 1
    expected = 1 + int(np.argmax(none <= 0.05))
    assert large_pools.shortlist_length(large_pools.places(scores, np.arange(n) >= n - m)) == pytest.approx(
        expected, abs=1
    )


# Simulated scores -----------------------------------------------------------------------------------------------------


def test_simulated_scores_have_the_requested_quality():
    truth, rng = np.random.default_rng(1).normal(size=60), np.random.default_rng(2)
    shares = large_pools.shares_for(truth, [0.0, 0.3, 0.8, 1.0], np.random.default_rng(3))
    for quality, share in zip([0.3, 0.8, 1.0], shares[1:], strict=True):
        scores = large_pools.simulated_scores(truth, share, rng.standard_normal((200, 60)))
        assert np.mean([ranking.weighted_kendall(s, truth) for s in scores]) == pytest.approx(quality, abs=0.04)
    assert shares[0] < 0.1 and shares[-1] == 1


def test_better_rankings_need_fewer_models():
    rng = np.random.default_rng(0)
    accuracies = pd.DataFrame(rng.uniform(50, 90, (30, 3)), columns=[*"xyz"], index=pd.Index(range(30), name="model"))
    found = large_pools.shortlists_on_hub(accuracies)
    simulated = found[found["ranking"] == "simulated"]
    assert (simulated.groupby("target")["best"].diff().dropna() <= 0).all()
    assert (simulated["near"] <= simulated["best"]).all()
    static = found[found["ranking"] == "static"].set_index("target")
    expected = 1 + (ranking.static_baseline(accuracies)["x"].rank(ascending=False) - 1)[accuracies["x"].idxmax()]
    assert static.at["x", "best"] == expected and static["promised_best"].notna().all()


def test_the_committed_shortlists_of_the_hub_are_those_of_its_file():
    accuracies = published_pools.hub_accuracies()
    if accuracies is None:
        pytest.skip(
            f"{paths.relative(published_pools.hub_file())} is not there: data/README.md says where it comes from"
        )
    committed = published.load("hub_shortlists").replace("", np.nan).infer_objects()
    found = large_pools.shortlists_on_hub(accuracies).astype({"promised_best": float, "promised_near": float})
    known = committed.astype({"promised_best": float, "promised_near": float})
    pd.testing.assert_frame_equal(found, known, check_dtype=False)


def test_without_the_file_the_committed_shortlists_are_shown_and_none_are_written(tmp_path, monkeypatch):
    monkeypatch.setenv("NCREPRO_DATA", str(tmp_path))
    found = large_pools.hub_shortlists()
    assert found["target"].nunique() == 12 and (found["ranking"] == "static").sum() == 12
    assert found.query("ranking == 'static'")["promised_best"].notna().all()
    with pytest.raises(FileNotFoundError, match="transfergraph/records.csv is missing"):
        large_pools.write_hub_shortlists()


# Made candidates ------------------------------------------------------------------------------------------------------


def labelled(n_classes=4, per_class=30, d=20):
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(n_classes), per_class)
    means = rng.standard_normal((n_classes, d))[labels]
    return (rng.standard_normal((len(labels), d)) + means / 2).astype(np.float32), labels


def test_the_truth_is_the_accuracy_of_a_ridge_classifier_on_the_other_half():
    H, labels = labelled()
    H[:, 3] = 1  # a dead unit
    half = large_pools._halves(labels)
    assert np.bincount(labels[half]).tolist() == [15] * 4
    probe = make_pipeline(StandardScaler(), RidgeClassifier(large_pools.RIDGE)).fit(H[half], labels[half])
    assert large_pools._probed(H, labels, half) == pytest.approx(100 * probe.score(H[~half], labels[~half]))


def test_a_relative_keeps_some_units_and_is_the_same_every_time():
    H, _ = labelled()
    made = [large_pools.relative(H, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(made[0], made[1]) and made[0].shape != made[2].shape
    assert all(len(H) == len(one) and H.shape[1] / 4 <= one.shape[1] <= H.shape[1] for one in made)
    assert made[0].dtype == np.float32


def candidates(n=230):
    rng = np.random.default_rng(0)
    quality = rng.normal(size=n)
    terms = {term: quality * (-1 if term == "log_vc" else 1) + rng.normal(size=n) for term in large_pools.TERMS}
    return pd.DataFrame({"target": "t", **terms, "accuracy": 50 + 10 * quality})


def test_an_outlier_in_one_term_moves_min_max_totals_and_hardly_ranks():
    odd = pd.DataFrame({"target": "t", "outlier": list(large_pools.OUTLIERS), "seli": [0.0, 0, 1e4], "ncc": 0.0,
                        "log_vc": 0.0})  # fmt: skip
    draws = large_pools.random_pools(candidates(), odd)
    assert set(draws["n_models"]) == {200} and len(draws) == 100 * len(large_pools.TOTALS)
    moved = large_pools.reordered_pairs(draws).set_index("total")
    ordinary, extreme = list(large_pools.OUTLIERS)[0], list(large_pools.OUTLIERS)[-1]
    assert moved.at["min-max", ordinary] == 0 < moved.at["ranks", extreme] < 1 < 5 < moved.at["min-max", extreme]
    table = large_pools.shortlists(draws).set_index("total")
    assert table["in_first"].between(0, 1).all() and (table["near"] <= table["best"]).all()
    ordered = draws[draws["total"] == "min-max"]["best"]
    assert table.at["min-max", "best"] == np.sort(ordered)[94] and table.at["min-max", "in_first"] == np.mean(
        ordered <= 10
    )
