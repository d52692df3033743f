"""Sets of metrics judged on pools they were not chosen on, the criticism of benchmarks, and numbers that others
published.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ncrepro import ranking
from ncrepro.lab import published
from ncrepro.lab.analyses import pool_checks, published_pools, which_metric
from ncrepro.metrics import registry
from ncrepro.rank_your_own.rank import DEFAULT
from ncrepro.ranking import resampling
from ncrepro.store import paths

MODELS = list("abcdefg")
TRUTH = pd.DataFrame(
    {"t": [70.0, 60, 50, 40, 30, 20, 10], "u": [10.0, 20, 30, 40, 50, 60, 70]}, index=pd.Index(MODELS, name="model")
)


def case(name="demo one", **by_metric):
    """A pool with scores by (metric -> values of the models), the same for both targets."""
    rows = [
        (model, target, metric, value)
        for metric, values in by_metric.items()
        for target in TRUTH
        for model, value in zip(MODELS, values, strict=True)
    ]
    scores = pd.DataFrame(rows, columns=["model", "target", "metric", "score"])
    wide = scores.pivot(index="model", columns=["target", "metric"], values="score").loc[MODELS]
    pool = SimpleNamespace(
        models=[SimpleNamespace(name=m, architecture=f"{'x' if m < 'd' else 'y'}{m}") for m in MODELS]
    )
    return SimpleNamespace(
        name=name, ranked=(scores, TRUTH), wide=wide, pool=pool, study=SimpleNamespace(noise=lambda: resampling.NONE)
    )


def test_a_pool_has_one_name_in_a_profile_and_its_repetitions():
    """Else no row of it could be compared between them."""
    names = [[case.name for case in which_metric.evidence(name)] for name in ("demo", "demo+2")]
    assert names[0] == names[1] and names[0][0].startswith("demo ")


# Sets -----------------------------------------------------------------------------------------------------------------


def test_a_set_is_judged_by_the_total_of_its_metrics():
    rng = np.random.default_rng(0)
    values = {"one": rng.normal(size=7), "two": 100 * rng.normal(size=7)}
    found = which_metric.judge(case(**values), {"one two": ("one", "two")}).loc["one two"]
    total = ranking.total(pd.DataFrame(values, index=MODELS))
    assert found["weighted_kendall"] == pytest.approx(
        np.mean([ranking.weighted_kendall(total, TRUTH[t]) for t in TRUTH])
    )
    assert found["regret"] == pytest.approx(np.mean([ranking.regret(total, TRUTH[t]) for t in TRUTH]))


def test_a_metric_without_an_order_is_left_out_and_alone_it_is_a_choice_by_lot():
    pool = case(one=range(7), constant=[1.0] * 7, lacking=[np.nan] + [1.0] * 6)
    found = which_metric.judge(
        pool, {name: tuple(name.split()) for name in ("one", "one constant lacking", "constant")}
    )
    assert found.loc["one"].equals(found.loc["one constant lacking"])
    assert np.isnan(found.at["constant", "weighted_kendall"]) and found.at["constant", "regret"] == pytest.approx(30)


def test_every_set_of_up_to_three_metrics_is_tried():
    assert len(which_metric.sets("abcd")) == 4 + 6 + 4 and which_metric.sets("ab")["a b"] == ("a", "b")


def test_the_smallest_set_within_one_standard_error_of_the_best_is_chosen():
    kendall = pd.DataFrame(
        {"p": [0.50, 0.60, 0.62], "q": [0.50, 0.70, 0.69], "r": [0.50, 0.60, 0.60]}, index=["a", "a b", "a b c"]
    )
    assert which_metric.choose(kendall) == "a b"  # as good as three; one alone is surely worse
    assert which_metric.choose(kendall.drop(index="a b")) == "a b c"
    assert which_metric.choose(kendall[["p"]]) == "a b c"  # one pool: no error


def test_a_set_is_never_chosen_on_the_pool_that_it_is_judged_on():
    kendall = pd.DataFrame({"x p": [0.9, 0.1], "x q": [0.9, 0.1], "y r": [0.0, 1.0]}, index=["a", "b"])
    found = (
        which_metric.worth_on_other_pools(kendall, 10 * kendall).query("choice == '1'").set_index(["left_out", "pool"])
    )
    assert found.loc[("pool", "y r"), ["metrics", "weighted_kendall"]].tolist() == ["a", 0.0]
    assert found.loc[("pool", "x p"), "metrics"] == "b"  # of q and r, b has the higher mean
    assert found.loc[("profile", "x p"), "metrics"] == "b" and found.loc[("profile", "y r"), "metrics"] == "a"


def test_a_metric_that_lacks_in_some_pool_is_shown_but_never_chosen():
    rows = [("p", True, "ncti", 0.5), ("p", True, "leep", 0.9), ("p", True, "new", 0.9), ("p", True, "nleep", 0.9),
            ("q", False, "ncti", 0.5), ("q", False, "leep", np.nan), ("q", False, "nleep", 0.9)]  # fmt: skip
    table = pd.DataFrame(rows, columns=["pool", "classifier", "metric", "weighted_kendall"])
    assert which_metric.candidates(table, classifier=False) == ["ncti"]
    assert which_metric.candidates(table, classifier=True) == ["ncti", "leep", "new"]


# The default ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def committed():
    """All pools whose tables are committed."""
    cases = [c for c in which_metric.evidence("demo") if c.study.profile.name != "demo"]
    own = [
        which_metric.Case(c.study, committed=True)
        for c in which_metric.evidence("demo")
        if c.study.profile.name == "demo"
    ]
    return own + cases


def test_the_default_of_rank_is_what_the_committed_tables_support(committed):
    tables = which_metric.all_tables(committed)
    assert which_metric.advised_metrics(tables["best"]) == DEFAULT
    assert all(registry.METRICS[metric].needs == registry.FEATURES for metric in DEFAULT)
    assert len(committed) >= 10 and set(tables["advice"]["choice"]) >= {"1", "2", "3", "rule"}


def test_the_committed_table_names_the_default():
    path = paths.reference("demo", "which_metric") / "best.csv"
    assert which_metric.advised_metrics(pd.read_csv(path)) == DEFAULT


# The criticism --------------------------------------------------------------------------------------------------------


def test_the_list_of_singh_et_al_gives_what_they_print():
    found = pool_checks.published_lists("supervised", pool_checks.THEIR_TARGETS).set_index("metric")["weighted_kendall"]
    assert found["in_turn"] == pytest.approx(0.91, abs=0.01)  # 0.91 is printed
    assert found["in_turn"] > max(found[["logme", "ncti", "leep", "sfda", "nleep"]])


def test_the_correlation_of_gaps_over_ordered_pairs_is_that_of_scores_and_accuracies():
    rng = np.random.default_rng(0)
    s, a = rng.normal(size=(2, 9))
    gaps = [(x[:, None] - x)[~np.eye(9, dtype=bool)] for x in (s, a)]
    assert np.corrcoef(*gaps)[0, 1] == pytest.approx(ranking.pearson(s, a))


def test_pairs_are_sorted_by_their_gap_in_score():
    found = pool_checks._gaps(pd.Series([0.0, 1, 10]), pd.Series([5.0, 4, 30]))
    assert found == {"right_small": 0, "points_small": -1, "right_large": 1, "points_large": 25}


def test_a_list_by_family_knows_the_other_targets_only():
    families = pd.Series(["x", "x", "y", "y", "y", "y", "y"], index=MODELS)
    found = pool_checks.by_family(families, TRUTH)
    assert found.loc["a", "t"] == found.loc["b", "t"] == 15 and found.loc["a", "u"] == 65


def test_targets_that_disagree_have_other_winners():
    assert pool_checks.dispersion(TRUTH) == {
        "n_models": 7, "n_targets": 2, "agreement": -1, "static_baseline": -1, "winners": 2, "saturated": 0,
    }  # fmt: skip
    assert np.isnan(pool_checks.dispersion(TRUTH[["t"]])["agreement"])


def test_the_checklist_answers_every_question_of_every_benchmark(committed):
    pools, lists, faithful = (
        which_metric.of_pools(committed),
        pool_checks.lists(committed),
        pool_checks.fidelity(committed),
    )
    found = pool_checks.checklist(committed, pools, lists, faithful).set_index("benchmark")
    assert list(found) == list(pool_checks.QUESTIONS) and set(found.stack()) <= {"yes", "no", "not known"}
    assert found.loc["NCTI Table 1", ["sizes", "beats_lists"]].tolist() == ["no", "no"]
    assert found.loc["FaCe Table 1", "sizes"] == "no" and found.loc["demo loss_functions", "sizes"] == "yes"
    assert found.loc["demo supervised", "sizes"] == "no"


# Numbers of others ----------------------------------------------------------------------------------------------------


def grouped(scores, accuracies):
    """Weighted Kendall over the pairs of models within each target, all targets in one fraction."""
    agree = of_score = of_accuracy = 0.0
    for target in accuracies:
        s, a = scores[target].to_numpy(), accuracies[target].to_numpy()
        signs = np.sign(s[:, None] - s), np.sign(a[:, None] - a)
        ranks = (np.lexsort((a, s))[::-1].argsort(), np.lexsort((s, a))[::-1].argsort())
        weight = sum(1 / (1 + r)[:, None] + 1 / (1 + r) for r in ranks)
        agree += (weight * signs[0] * signs[1]).sum()
        of_score, of_accuracy = (
            total + (weight * x**2).sum() for total, x in zip((of_score, of_accuracy), signs, strict=True)
        )
    return agree / np.sqrt(of_score * of_accuracy)


@pytest.mark.parametrize(
    "metric, printed",
    [  # as the authors' `inputs/data_scatter_sota_linear.json` holds them
        ("source_accuracy", 0.6455272136074194),
        ("ncti", 0.6634424450438539),
        ("etran_energy", 0.6677368454905368),
        ("logme", 0.3526102373142075),
        ("h_score", 0.09140175635230506),
    ],
)
def test_the_transcribed_scores_give_the_correlations_published_beside_them(metric, printed):
    scores, accuracies = published_pools.imagenet()
    wide = scores[scores["metric"] == metric].pivot(index="model", columns="target", values="score")
    assert grouped(wide.loc[accuracies.index], accuracies) == pytest.approx(printed, abs=1e-9)


def test_ten_networks_have_thirteen_scores_on_eleven_data_sets():
    table = published.load("imagenet_models")
    assert table.index.nunique() == 10 and table["target"].nunique() == 11 and len(table) == 110
    assert table.drop(columns="target").notna().all(axis=None) and table.shape[1] == 1 + 1 + 1 + 13
    assert set(table.index) <= set(published.load("model_sizes").index)


def test_a_set_of_published_scores_is_their_total():
    scores, accuracies = published_pools.imagenet(("ncti logme",))
    wide = scores[scores["target"] == "dtd"].pivot(index="model", columns="metric", values="score")
    expected = ranking.total(wide[["ncti", "logme"]])
    assert wide["ncti logme"].to_numpy() == pytest.approx(expected.loc[wide.index].to_numpy())


def test_the_committed_numbers_of_the_hub_are_those_of_its_file():
    accuracies = published_pools.hub_accuracies()
    if accuracies is None:
        pytest.skip(
            f"{paths.relative(published_pools.hub_file())} is not there: data/README.md says where it comes from"
        )
    found, known = published_pools.of_hub(accuracies), published.load("hub_targets")
    pd.testing.assert_frame_equal(found, known, check_dtype=False)


def test_a_file_of_the_hub_is_read_and_a_missing_one_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("NCREPRO_DATA", str(tmp_path))
    assert published_pools.hub_accuracies() is None and len(published_pools.hub()) == 12
    with pytest.raises(FileNotFoundError, match="transfergraph/records.csv is missing"):
        published_pools.write_hub()
    rows = [(m, t, TRUTH.at[m, t] / 100) for m in MODELS for t in TRUTH] + [("half", "t", 0.5), ("a", "food101", 0.0)]
    published_pools.hub_file().parent.mkdir()
    table = pd.DataFrame(rows, columns=["model", "finetuned_dataset", "test_accuracy"])
    table.to_csv(published_pools.hub_file(), index=False)
    pd.testing.assert_frame_equal(published_pools.hub_accuracies(), TRUTH.rename_axis(columns="target"))
    assert published_pools.hub()["weighted_kendall"].tolist() == [-1, -1]
