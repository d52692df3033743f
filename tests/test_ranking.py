"""Totals, correlations, the static baseline and intervals: closed forms, invariances, agreement with SciPy."""

from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr, weightedtau

from ncrepro import ranking
from ncrepro.lab import published

Terms = namedtuple("Terms", "seli ncc log_vc")
STATISTICS = [ranking.weighted_kendall, ranking.pearson, ranking.spearman]
small = st.integers(-5, 5)  # many ties
settings.register_profile("no deadline", deadline=None)  # a slow machine is no failure
settings.load_profile("no deadline")


@st.composite
def pools(draw, values=small):
    n = draw(st.integers(2, 12))
    scores, accuracies = (np.array(draw(st.lists(values, min_size=n, max_size=n)), float) for _ in range(2))
    assume(np.ptp(scores) > 0 and np.ptp(accuracies) > 0)
    return scores, accuracies


# ---- totals --------------------------------------------------------------------------------------------------------


def test_the_total_of_ncti_subtracts_the_variability():
    total = ranking.total({"a": Terms(1, 10, 0.5), "b": Terms(2, 30, 0.1), "c": Terms(3, 15, 0.3)})
    assert total.to_dict() == pytest.approx({"a": 0 + 0 - 1, "b": 1 / 2 + 1 - 0, "c": 1 + 5 / 20 - 0.2 / 0.4})


def test_normalised_terms_carry_their_sign_and_add_up_to_the_total():
    terms = {"a": Terms(1, 10, 0.5), "b": Terms(2, 30, 0.1), "c": Terms(3, 15, 0.3)}
    parts = ranking.normalise(terms, {"ncc": 2})
    assert parts.min().to_dict() == {"seli": 0, "ncc": 0, "log_vc": -1}
    assert parts.max().to_dict() == {"seli": 1, "ncc": 2, "log_vc": 0}
    assert parts.sum(axis=1).to_dict() == ranking.total(terms, {"ncc": 2}).to_dict()


def test_the_total_of_face_adds_both_terms():
    terms = pd.DataFrame({"variance_collapse": [-4.0, -2, -1], "class_fairness": [1, 1.5, 2]}, index=list("abc"))
    assert ranking.total(terms).to_dict() == pytest.approx({"a": 0, "b": 2 / 3 + 1 / 2, "c": 2})


def test_weights_replace_the_defaults_of_the_terms_they_name():
    terms = {"a": Terms(1, 10, 0.5), "b": Terms(2, 30, 0.1), "c": Terms(3, 15, 0.3)}
    total = ranking.total(terms, {"seli": 2, "log_vc": 0})
    assert total.to_dict() == pytest.approx({"a": 0, "b": 2 * 1 / 2 + 1, "c": 2 + 5 / 20})


def test_a_dict_of_dicts_a_dict_of_named_tuples_and_a_table_give_the_same_total():
    tuples = {"a": Terms(1, 10, 0.5), "b": Terms(2, 30, 0.1), "c": Terms(3, 15, 0.3)}
    dicts = {model: terms._asdict() for model, terms in tuples.items()}
    table = pd.DataFrame(dicts).T
    pd.testing.assert_series_equal(ranking.total(tuples), ranking.total(dicts))
    pd.testing.assert_series_equal(ranking.total(tuples), ranking.total(table))


@given(st.permutations(range(5)), st.floats(0.1, 10), st.floats(-10, 10))
def test_scaling_a_term_and_reordering_models_changes_no_total(order, scale, shift):
    table = pd.DataFrame({"seli": [3, 1, 4, 1, 5.5], "log_vc": [2, 7, 1, 8, 2.5]}, index=list("abcde"))
    changed = (scale * table + shift).iloc[order]
    pd.testing.assert_series_equal(ranking.total(changed).sort_index(), ranking.total(table))


@pytest.mark.parametrize(
    "terms, weights, message",
    [
        ({"a": Terms(1, 2, 3), "b": Terms(2, 2, 4)}, None, "'ncc' is constant"),
        ({"a": Terms(1, 0.3, 3), "b": Terms(2, 0.1 + 0.2, 4)}, None, "'ncc' is constant"),  # differ by rounding alone
        ({"a": Terms(1, 2, 3), "b": Terms(2, np.nan, 4)}, None, "model 'b', term 'ncc'"),
        ({"a": Terms(1, 2, 3), "b": Terms(2, 3, -np.inf)}, None, "model 'b', term 'log_vc'"),
        ({"a": Terms(1, 2, 3), "b": {"seli": 2, "ncc": 3}}, None, "model 'b', term 'log_vc'"),
        ({"a": Terms(1, 2, 3)}, None, "1 model"),
        ({}, None, "0 model"),
        ({"a": Terms(1, 2, 3), "b": Terms(2, 3, 4)}, {"vc": -1}, "vc.*seli"),
        ({"a": Terms(1, 2, 3), "b": Terms(2, 3, 4)}, {"seli": 0, "ncc": 0, "log_vc": 0}, "weight 0"),
        (pd.DataFrame({"seli": [1.0, 2.0]}, index=["a", "a"]), None, "twice: .'a'"),
    ],
)
def test_totals_refuse_a_pool_in_which_they_are_undefined_and_say_why(terms, weights, message):
    with pytest.raises(ValueError, match=message):
        ranking.total(terms, weights)


def test_a_constant_term_can_be_left_out_with_weight_zero():
    total = ranking.total({"a": Terms(1, 2, 3), "b": Terms(2, 2, 4)}, {"ncc": 0})
    assert total.to_dict() == {"a": 0 - 0, "b": 1 - 1}


def long(**scores):
    """A tidy table of three models on one target: metric -> term -> scores."""
    rows = [(m, "t", metric, term, value) for metric, terms in scores.items() for term, values in terms.items()
            for m, value in zip("bac", values, strict=False)]  # fmt: skip
    return pd.DataFrame(rows, columns=["model", "target", "metric", "term", "score"])


def test_totals_are_normalised_group_by_group_and_a_single_number_is_its_own_total():
    terms = long(ncti={"seli": [0, 1, 2], "log_vc": [4, 0, 2]}, logme={"total": [7, 8, 9]})
    found = ranking.totals(pd.concat([terms, terms.assign(target="u", score=10 * terms["score"])]))
    assert found.columns.tolist() == ["model", "target", "metric", "score"]
    found = found.groupby(["target", "metric"])["score"].agg(list).to_dict()
    assert found["t", "ncti"] == found["u", "ncti"] == [0 - 1, 1 / 2 - 0, 1 - 1 / 2]
    assert found["t", "logme"] == [7, 8, 9] and found["u", "logme"] == [70, 80, 90]


def test_totals_that_are_there_already_are_not_added_up_again():
    terms = long(ncti={"seli": [0, 1, 2], "log_vc": [4, 0, 2]})
    whole = ranking.totals(terms)
    pd.testing.assert_frame_equal(ranking.totals(pd.concat([terms, whole.assign(term="total")])), whole)


def test_totals_are_not_numbers_where_a_term_that_counts_is_constant():
    terms = long(ncti={"seli": [0, 1, 2], "ncc": [1, 1, 1]}, face={"class_fairness": [3, 4, 5]})
    found = ranking.totals(terms).groupby("metric")["score"].agg(list)
    assert np.isnan(found["ncti"]).all() and found["face"] == [0, 1 / 2, 1]
    assert ranking.totals(terms.query("metric == 'ncti'"), weights={"ncc": 0})["score"].tolist() == [0, 1 / 2, 1]


@pytest.mark.parametrize(
    ("values", "expected"), [([1, 1, 1], False), ([1e9, 1e9 + 1e-4, 1e9], False), ([1, 1 + 1e-6, 1], True)]
)
def test_what_differs_by_rounding_does_not_vary(values, expected):
    assert ranking.varies(pd.Series(values)) == expected
    assert ranking.varies(pd.DataFrame({"x": values})).to_dict() == {"x": expected}


# ---- correlations --------------------------------------------------------------------------------------------------

TRUTH = pd.DataFrame({"t": [1.0, 2, 3], "u": [3.0, 2, 1]}, index=["a", "b", "c"])


def test_agreement_ranks_the_models_and_targets_of_the_accuracies_and_no_others():
    scores = pd.concat([long(logme={"total": [2, 1, 4]}), long(logme={"total": [9]}).assign(model="other")])
    scores = pd.concat([scores, scores.assign(target="v")])
    found = ranking.agreement(scores, TRUTH, statistics=STATISTICS)
    assert found.columns.tolist() == ["metric", "target", "weighted_kendall", "pearson", "spearman"]
    assert found[["metric", "target"]].to_numpy().tolist() == [["logme", "t"]]
    assert found["weighted_kendall"].item() == 1 == found["spearman"].item() != found["pearson"].item()


@pytest.mark.parametrize("values", [[1, 1, 1], [1, np.nan, 2]])
def test_agreement_without_an_order_or_a_score_is_not_a_number(values):
    found = ranking.agreement(long(logme={"total": values}), TRUTH)
    assert found["weighted_kendall"].isna().tolist() == [True]


def test_the_mean_agreement_is_over_the_targets_with_an_order():
    scores = pd.concat(
        [long(good={"total": [2, 1, 4]}).assign(target=t) for t in TRUTH] + [long(flat={"total": [1, 1, 1]})]
    )
    found = ranking.mean_agreement(ranking.agreement(scores, TRUTH)).set_index("metric")["weighted_kendall"]
    assert found["good"] == pytest.approx(0) and np.isnan(found["flat"])


def test_mutual_agreement_is_the_mean_over_pairs_of_rankings():
    assert ranking.mutual_agreement(TRUTH.assign(v=TRUTH["t"])) == pytest.approx((-1 + 1 - 1) / 3)
    assert np.isnan(ranking.mutual_agreement(TRUTH[["t"]]))


def test_the_blog_s_ncti_scores_on_cifar10_give_the_printed_correlation():
    scores = published.load("ncti_cifar10_blog")["ncti"]
    accuracies = published.load("supervised_finetuned_accuracy")["cifar10"]
    assert round(ranking.weighted_kendall(scores, accuracies), 5) == 0.84256


def test_weighted_kendall_of_three_models_is_the_sum_over_three_pairs():
    # swap the last two of three: weights 1, 1/2, 1/3; pairs (1,2) and (1,3) agree, (2,3) disagrees
    agree, disagree = (1 + 1 / 2) + (1 + 1 / 3), 1 / 2 + 1 / 3
    assert ranking.weighted_kendall([3, 1, 2], [3, 2, 1]) == pytest.approx((agree - disagree) / (agree + disagree))


def test_a_mistake_at_the_top_costs_more_than_one_at_the_bottom():
    accuracies = [50, 40, 30, 20, 10]
    at_the_top = ranking.weighted_kendall([4, 5, 3, 2, 1], accuracies)
    at_the_bottom = ranking.weighted_kendall([5, 4, 3, 1, 2], accuracies)
    assert at_the_top < at_the_bottom
    assert ranking.spearman([4, 5, 3, 2, 1], accuracies) == pytest.approx(ranking.spearman([5, 4, 3, 1, 2], accuracies))


def test_pearson_sees_distances_and_spearman_does_not():
    assert ranking.pearson([0, 1, 2], [0, 1, 5]) == pytest.approx(5 / np.sqrt(2 * 14))
    assert ranking.spearman([0, 1, 2], [0, 1, 5]) == pytest.approx(1)


@given(pools())
def test_the_three_correlations_equal_scipy_s_also_with_ties(pool):
    assert ranking.weighted_kendall(*pool) == pytest.approx(weightedtau(*pool).statistic, abs=1e-12)
    assert ranking.pearson(*pool) == pytest.approx(pearsonr(*pool).statistic, abs=1e-12)
    assert ranking.spearman(*pool) == pytest.approx(spearmanr(*pool).statistic, abs=1e-12)


@given(pools())
def test_a_monotone_change_of_scores_changes_no_rank_correlation(pool):
    scores, accuracies = pool
    for statistic in (ranking.weighted_kendall, ranking.spearman, ranking.regret):
        assert statistic(np.exp(scores), accuracies) == pytest.approx(statistic(scores, accuracies), abs=1e-12)


@given(pools(), st.randoms(use_true_random=False))
def test_permuting_the_models_together_changes_nothing(pool, random):
    order = random.sample(range(len(pool[0])), len(pool[0]))
    for statistic in (*STATISTICS, ranking.regret):
        assert statistic(pool[0][order], pool[1][order]) == pytest.approx(statistic(*pool), abs=1e-12)


@given(pools())
def test_scores_and_accuracies_may_change_places_and_lie_in_range(pool):
    for statistic in STATISTICS:
        value = statistic(*pool)
        assert -1 - 1e-12 <= value <= 1 + 1e-12
        assert statistic(*pool[::-1]) == pytest.approx(value, abs=1e-12)


@given(pools())
def test_a_score_correlates_with_itself_completely(pool):
    for statistic in STATISTICS:
        assert statistic(pool[0], pool[0]) == pytest.approx(1)
    assert ranking.pearson(-pool[0], pool[0]) == ranking.spearman(-pool[0], pool[0]) == pytest.approx(-1)


def test_series_and_dicts_are_aligned_by_name_and_arrays_by_position():
    scores = pd.Series({"a": 1.0, "b": 2.0, "c": 3.0})
    accuracies = {"c": 70.0, "a": 90.0, "b": 80.0}
    assert ranking.pearson(scores, accuracies) == pytest.approx(-1)
    assert ranking.pearson(scores.to_numpy(), list(accuracies.values())) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "scores, accuracies, message",
    [
        ({"a": 1, "b": 2}, {"a": 1, "c": 2}, r"only in scores \['b'\], only in accuracies \['c'\]"),
        ([1, 2, 3], [1, 2], r"\(3,\) and accuracies \(2,\)"),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]], r"must be \(models,\)"),
        ([], [], "at least 2 models, found 0"),
        ([1], [1], "at least 2 models, found 1"),
        ([1, 1, 1], [1, 2, 3], "scores are constant"),
        ([1, 2, 3], [70, 70, 70], "accuracies are constant"),
        ({"a": 1, "b": np.nan}, {"a": 1, "b": 2}, "scores must be finite, found nan for model 'b'"),
        ({"a": 1, "b": 2}, {"b": np.inf, "a": 2}, "accuracies must be finite, found inf for model 'b'"),
        (pd.Series([1, 2], index=["a", "a"]), pd.Series([1, 2], index=["a", "b"]), "scores name models twice"),
    ],
)
@pytest.mark.parametrize("statistic", [*STATISTICS, ranking.regret])
def test_correlations_refuse_what_has_no_answer_and_say_why(statistic, scores, accuracies, message):
    with pytest.raises(ValueError, match=message):
        statistic(scores, accuracies)


def test_regret_is_the_accuracy_between_the_best_and_the_chosen_model():
    assert ranking.regret([0.1, 0.9, 0.5], [91.0, 88.5, 80.0]) == pytest.approx(91 - 88.5)
    assert ranking.regret([0.9, 0.9, 0.5], [91.0, 88.5, 80.0]) == pytest.approx(91 - (91 + 88.5) / 2)
    assert ranking.regret([9, 2, 1], [91.0, 88.5, 80.0]) == 0


# ---- the static baseline -------------------------------------------------------------------------------------------


def test_the_static_baseline_is_the_mean_accuracy_on_the_other_targets():
    accuracies = pd.DataFrame({"x": [90.0, 80.0], "y": [60.0, 70.0], "z": [10.0, 30.0]}, index=["a", "b"])
    expected = pd.DataFrame(
        {"x": [(60 + 10) / 2, (70 + 30) / 2], "y": [(90 + 10) / 2, (80 + 30) / 2], "z": [(90 + 60) / 2, (80 + 70) / 2]},
        index=["a", "b"],
    )
    pd.testing.assert_frame_equal(ranking.static_baseline(accuracies), expected)


def test_the_static_baseline_does_not_look_at_its_own_target():
    accuracies = published.load("supervised_finetuned_accuracy")
    changed = accuracies.assign(dtd=accuracies["dtd"].to_numpy()[::-1])
    pd.testing.assert_series_equal(ranking.static_baseline(accuracies)["dtd"], ranking.static_baseline(changed)["dtd"])


def test_a_ranking_blind_to_the_target_reaches_0_837_on_the_benchmark_of_ncti():
    accuracies = published.load("supervised_finetuned_accuracy")
    scores = ranking.static_baseline(accuracies)
    mean = np.mean([ranking.weighted_kendall(scores[t], accuracies[t]) for t in accuracies])
    assert round(mean, 3) == 0.837


@pytest.mark.parametrize(
    "table, message",
    [
        (pd.DataFrame({"x": [1.0, 2.0]}, index=["a", "b"]), "at least 2 targets, found .'x'"),
        (pd.DataFrame({"x": [1.0], "y": [2.0]}, index=["a"]), "1 model"),
        (pd.DataFrame({"x": [1.0, 2.0], "y": [2.0, np.nan]}, index=["a", "b"]), "model 'b', target 'y'"),
    ],
)
def test_the_static_baseline_needs_two_targets_two_models_and_every_accuracy(table, message):
    with pytest.raises(ValueError, match=message):
        ranking.static_baseline(table)


# ---- intervals -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def benchmark():
    accuracies = published.load("supervised_finetuned_accuracy")
    return ranking.static_baseline(accuracies), accuracies


@pytest.mark.parametrize("statistic", [*STATISTICS, ranking.regret])
def test_the_interval_holds_the_quantiles_of_statistics_of_resampled_models(statistic, benchmark):
    scores, accuracies = benchmark[0]["cars"].to_numpy(), benchmark[1]["cars"].to_numpy()
    resamples = np.random.default_rng(7).integers(11, size=(50, 11))
    values = [statistic(scores[models], accuracies[models]) for models in resamples]
    expected = np.quantile(values, [0.1, 0.9])
    assert ranking.bootstrap_interval(statistic, scores, accuracies, n=50, seed=7, level=0.8) == pytest.approx(expected)


def test_several_targets_share_their_resampled_models(benchmark):
    scores, accuracies = benchmark[0].to_numpy(), benchmark[1].to_numpy()
    resamples = np.random.default_rng(7).integers(11, size=(20, 11))
    values = [
        np.mean([ranking.weighted_kendall(scores[models, t], accuracies[models, t]) for t in range(11)])
        for models in resamples
    ]
    interval = ranking.bootstrap_interval(ranking.weighted_kendall, *benchmark, n=20, seed=7, level=0.8)
    assert interval == pytest.approx(np.quantile(values, [0.1, 0.9]))


def test_the_interval_depends_on_the_seed_and_on_nothing_else(benchmark):
    def interval(seed, models=slice(None)):
        return ranking.bootstrap_interval(ranking.weighted_kendall, benchmark[0], benchmark[1].iloc[models], 200, seed)

    assert interval(0) == interval(0) == interval(0, slice(None, None, -1))  # aligned by name
    assert interval(0) != interval(1)


def test_a_higher_level_gives_a_wider_interval_and_perfect_scores_none_at_all(benchmark):
    narrow, wide = (ranking.bootstrap_interval(ranking.weighted_kendall, *benchmark, level=p) for p in (0.5, 0.99))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]
    assert ranking.bootstrap_interval(ranking.weighted_kendall, [1, 2, 3, 4], [1, 2, 3, 4]) == pytest.approx((1, 1))


def test_constant_resamples_are_drawn_again():
    # two models: half of all resamples hold one model twice; with those drawn again only -1 can come out
    assert ranking.bootstrap_interval(ranking.spearman, [1, 2], [9, 8], n=500) == pytest.approx((-1, -1))
    for scores, accuracies in (([1, 1, 2], [1, 2, 3]), ([1, 2, 3], [1, 1, 2])):  # one of the two alone is constant
        assert np.isfinite(ranking.bootstrap_interval(ranking.pearson, scores, accuracies, n=500)).all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"statistic": np.corrcoef}, "'corrcoef' is not known.*ranking.pearson"),
        ({"level": 95}, "level is 95"),
        ({"scores": np.ones(11)}, "scores are constant"),
        ({"scores": np.arange(10)}, r"\(10,\) and accuracies \(11,\); both must be \(models,\) or \(models, targets\)"),
    ],
)
def test_intervals_refuse_what_they_cannot_resample(change, message, benchmark):
    arguments = {"statistic": ranking.pearson, "scores": benchmark[0]["cars"], "accuracies": benchmark[1]["cars"]}
    with pytest.raises(ValueError, match=message):
        ranking.bootstrap_interval(**(arguments | change))


def test_an_interval_over_targets_refuses_tables_that_name_different_targets(benchmark):
    with pytest.raises(ValueError, match=r"different targets: only in scores \['dtd'\]"):
        ranking.bootstrap_interval(ranking.pearson, benchmark[0], benchmark[1].drop(columns="dtd"))


@pytest.mark.parametrize("scale", [1e-300, 1e-160, 1e160, 1e304])
def test_correlations_do_not_depend_on_the_scale_of_scores_or_accuracies(scale):
    rng = np.random.default_rng(0)
    scores, accuracies = rng.normal(size=7), rng.uniform(40, 90, 7)
    for measure in (ranking.pearson, ranking.spearman, ranking.weighted_kendall):
        expected = pytest.approx(measure(scores, accuracies), rel=1e-9)
        assert measure(scores * scale, accuracies) == expected and measure(scores, accuracies * scale) == expected


@pytest.mark.parametrize("call, message", [
    (lambda: ranking.weighted_kendall(["94 %", "93 %"], [1, 2]), "scores must be numbers, one per model"),
    (lambda: ranking.weighted_kendall({1, 2}, [1, 2]), "scores must be numbers, one per model"),
    (lambda: ranking.pearson({"a": 1, 3: 2}, {"b": 1, 4: 2}), r"only in scores \[3, 'a'\], only in accuracies"),
    (lambda: ranking.static_baseline(pd.DataFrame({"x": ["9 %"] * 2, "y": [1, 2]})), "accuracies must be numbers"),
    (lambda: ranking.total(pd.DataFrame([[1, 2], [3, 4]], columns=["x", "x"])), "two columns called 'x'"),
    (lambda: ranking.total(pd.DataFrame({"x": range(4)}, index=["a", "a", 3, 3])), r"names models twice: \[3, 'a'\]"),
    (lambda: ranking.total({"a": {"x": 1}, "b": {"x": 2}}, {"x": np.nan}), "weights are .*; all must be finite"),
    (lambda: ranking.total({"a": {"x": 1}, "b": {"x": 2}}, {"z": 1, 3: 2}), r"weights name \['z', 3\]"),
    (lambda: ranking.bootstrap(ranking.pearson, [1, 2], [1, 2], n=0), "n is 0; it must be at least 1"),
    (lambda: ranking.bootstrap(ranking.pearson, [1, 2], [1, 2], seed=-1), "seed is -1; it must be at least 0"),
])  # fmt: skip
def test_what_is_no_ranking_is_answered_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_two_scores_of_one_model_are_refused_unless_a_column_tells_them_apart():
    scores = pd.DataFrame({"model": ["a", "b"] * 2, "target": "t", "metric": "m", "seed": [0, 0, 1, 1],
                           "score": [1.0, 2.0, 2.0, 1.0]})  # fmt: skip
    accuracies = pd.DataFrame({"t": [80.0, 90.0]}, index=["a", "b"])
    with pytest.raises(ValueError, match="model 'a' has two scores on 't': keep one, or name the column"):
        ranking.agreement(scores, accuracies)
    assert ranking.agreement(scores, accuracies, by=("metric", "seed"))["weighted_kendall"].tolist() == [1.0, -1.0]
