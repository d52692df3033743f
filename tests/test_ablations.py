"""The metrics taken apart: which models a subset of terms prefers, and what is left of a thinned target."""

import numpy as np
import pandas as pd
import pytest

from ncrepro import metrics, ranking
from ncrepro.lab import analyses
from ncrepro.lab.analyses import ablations
from ncrepro.ranking import resampling

MODELS = ["a", "b", "c", "d"]
TRUTH = pd.DataFrame({"t": [4.0, 3.0, 2.0, 1.0]}, index=pd.Index(MODELS, name="model"))


def terms(**columns):
    table = pd.DataFrame(columns, index=MODELS).rename_axis("model").reset_index()
    return table.melt("model", var_name="term", value_name="score").assign(target="t")


NCTI = terms(seli=[0.0, 1, 2, 4], ncc=[4.0, 3, 2, 0], log_vc=[1.0, 1, 2, 3])


def test_a_subset_of_terms_adds_only_its_own_and_subtracts_log_vc():
    scores = ablations.term_subsets(NCTI, ablations.NCTI_TERMS).set_index(["metric", "model"])["score"]
    assert scores["seli"].to_dict() == {"a": 0 / 4, "b": 1 / 4, "c": 2 / 4, "d": 4 / 4}
    assert scores["−vc"].to_dict() == {"a": -0.0, "b": -0.0, "c": -1 / 2, "d": -2 / 2}
    assert scores["seli − vc"].to_dict() == {"a": 0.0, "b": 1 / 4, "c": 2 / 4 - 1 / 2, "d": 1 - 1}
    assert scores["seli + ncc − vc"].to_dict() == pytest.approx({"a": 1.0, "b": 1.0, "c": 1 - 1 / 2, "d": 1 - 1})


def test_three_terms_have_seven_subsets_and_two_have_three():
    assert ablations.term_subsets(NCTI, ablations.NCTI_TERMS)["metric"].nunique() == 2**3 - 1
    two = {"seli": "seli", "ncc": "ncc"}
    assert list(dict.fromkeys(ablations.term_subsets(NCTI, two)["metric"])) == ["seli", "ncc", "seli + ncc"]


def test_a_term_that_is_the_same_for_all_models_has_no_total_but_the_others_have():
    scores = ablations.term_subsets(terms(seli=[1.0, 1, 1, 1], ncc=[4.0, 3, 2, 0]), {"seli": "seli", "ncc": "ncc"})
    by_subset = scores.set_index(["metric", "model"])["score"].unstack("metric")
    assert by_subset["seli"].isna().all() and by_subset["seli + ncc"].isna().all()
    assert by_subset["ncc"].tolist() == [1.0, 3 / 4, 2 / 4, 0.0]


def test_a_weight_decides_between_two_terms_that_contradict_each_other():
    contradicting = terms(seli=[1.0, 2, 3, 4], ncc=[4.0, 3, 2, 1], log_vc=[0.0, 0, 0, 1])
    scores = ablations.weighted(contradicting)
    found = ranking.agreement(scores, TRUTH, ["term", "weight"]).set_index(["term", "weight"])["weighted_kendall"]
    assert found["ncc", 2.0] == 1.0 and found["seli", 0.1] == 1.0
    assert found["ncc", 0.1] < 0


def test_variants_are_ranked_by_each_term_and_by_their_normalised_sum():
    found = pd.concat([
        terms(variance_collapse=[4.0, 3, 2, 1], class_fairness=[1.0, 2, 3, 4]).assign(temperature=t) for t in (0.1, 1.0)
    ])  # fmt: skip
    table = ablations.variant_agreement(found, TRUTH, ["temperature"]).set_index(["temperature", "metric"])[
        "weighted_kendall"
    ]
    assert table[0.1, "variance_collapse"] == 1.0 and table[1.0, "class_fairness"] == -1.0
    assert np.isnan(table[0.1, "face"])  # the two terms cancel


def test_an_unevenly_thinned_target_keeps_classes_on_a_geometric_scale():
    labels = np.repeat([0, 1, 2], 100)
    kept = ablations.thinned(labels, ratio=4.0, balanced=False, draw=0)
    assert sorted(np.bincount(labels[kept])) == [100 // 4, 100 // 2, 100]
    assert len(set(kept)) == len(kept)


def test_its_control_keeps_as_many_samples_evenly():
    labels = np.repeat([0, 1, 2], 120)
    counts = np.bincount(labels[ablations.thinned(labels, ratio=4.0, balanced=True, draw=0)])
    assert counts.tolist() == [(120 + 60 + 30) // 3] * 3


def test_thinning_leaves_two_of_every_class_and_ratio_one_leaves_all():
    labels = np.repeat([0, 1, 2], 5)
    assert np.bincount(labels[ablations.thinned(labels, 100.0, False, 0)]).min() == 2
    assert ablations.thinned(labels, 1.0, True, 0).tolist() == list(range(15))


def test_the_steps_find_what_the_metrics_find():
    rng = np.random.default_rng(0)
    arrays = {"features": rng.normal(size=(60, 5)), "labels": np.repeat([0, 1, 2], 20)}
    setting = {"covariance": "full", "temperature": 0.5}
    assert ablations.face_variants(arrays, [setting]) == [metrics.face(*arrays.values(), **setting)._asdict()]
    whole = ablations.imbalanced(arrays, [{"ratio": 1.0, "balanced": True, "draw": 0}])[0]
    assert whole["seli"] == metrics.ncti(*arrays.values()).seli and whole["logme"] == metrics.logme(*arrays.values())
    assert ablations.equiangularity(arrays, [{}]) == [{"nc2_a": -metrics.collapse.nc2_a(*arrays.values())}]


# How far a choice moves a ranking -------------------------------------------------------------------------------------

POOL = [*"abcdefg"]
OF_POOL = pd.DataFrame({"t": np.arange(7.0), "u": np.arange(7.0) ** 2}, index=pd.Index(POOL, name="model"))
RIGHT, WRONG = [0.0, 1, 2, 3, 4, 5, 6], [0.0, 2, 1, 4, 3, 6, 5]


def measured(**setting):
    """Both of FaCe's terms of every model on both targets."""
    order = setting.pop("order")
    return pd.concat([pd.DataFrame({"model": POOL, "target": target, "term": term, "score": order}).assign(**setting)
                      for target in OF_POOL for term in ablations.FACE_TERMS])  # fmt: skip


def test_the_default_is_that_of_the_metric():
    assert ablations.DEFAULT == metrics.face.__kwdefaults__


def test_a_variant_moves_as_far_as_it_ranks_otherwise_than_the_default():
    other, none = ablations.DEFAULT | {"temperature": 5.0}, ablations.DEFAULT | {"n_components": None}
    table = pd.concat(
        [measured(order=RIGHT, **ablations.DEFAULT), measured(order=WRONG, **other), measured(order=RIGHT, **none)]
    )
    found = ablations.variant_moves(table, OF_POOL, resampling.NONE).set_index(["temperature", "n_components"])
    assert found.loc[(0.05, 0), ["difference", "error"]].tolist() == [0, 0]
    assert found.loc[(5.0, 64), "difference"] < -0.1 and found.loc[(5.0, 64), "error"] > 0.01 and len(found) == 2


def test_class_fairness_on_uneven_classes_is_compared_with_as_many_images_evenly():
    rows = [
        measured(order=WRONG if not balanced else RIGHT, ratio=10.0, balanced=balanced, draw=draw)
        for balanced in (True, False)
        for draw in range(3)
    ]
    table = pd.concat([*rows, measured(order=RIGHT, ratio=1.0, balanced=True, draw=0)])
    found = ablations.imbalance_moves(table, OF_POOL, resampling.NONE)
    assert found["ratio"].tolist() == [10.0] and found["difference"].item() < -0.1 and found["error"].item() > 0


def test_draws_of_images_that_disagree_add_to_the_error():
    draws = np.random.default_rng(0).normal(size=(500, 1))
    same, apart = (pd.DataFrame(np.hstack([draws + shift for shift in shifts])) for shifts in ((0, 0, 0), (-1, 0, 1)))
    nothing = pd.DataFrame(np.zeros((500, 1)))
    assert analyses.difference(same, nothing)["error"] == pytest.approx(draws.std(ddof=1))
    assert analyses.difference(apart, nothing)["error"] == pytest.approx(np.sqrt(draws.var(ddof=1) + 1 / 3))
