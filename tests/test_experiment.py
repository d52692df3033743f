"""From terms to rankings, and what an experiment says when something is missing."""

import numpy as np
import pandas as pd
import pytest

from ncrepro import ranking
from ncrepro.lab import experiment
from ncrepro.lab.experiment import Experiment
from ncrepro.ranking import resampling
from ncrepro.store import paths

MODELS = ["a", "b", "c", "d"]
ACCURACIES = pd.DataFrame(
    {"t1": [90.0, 80.0, 70.0, 60.0], "t2": [60.0, 70.0, 80.0, 95.0]}, index=pd.Index(MODELS, name="model")
)


def terms(**columns):
    """A tidy table of NCTI terms for one target."""
    table = pd.DataFrame(columns, index=MODELS).rename_axis("model").reset_index()
    return table.melt("model", var_name="term", value_name="score").assign(target="t1", metric="ncti")


def test_ncti_is_seli_plus_ncc_minus_log_vc_after_min_max():
    total = ranking.totals(terms(seli=[0, 1, 2, 4], ncc=[0.5, 0.5, 0.6, 0.7], log_vc=[3, 2, 2, 1])).set_index("model")[
        "score"
    ]
    expected = {"a": 0 + 0 - 1, "b": 1 / 4 + 0 - 1 / 2, "c": 2 / 4 + 1 / 2 - 1 / 2, "d": 1 + 1 - 0}
    assert total.to_dict() == pytest.approx(expected)


def test_a_total_depends_on_the_pool_it_is_normalised_over():
    table = terms(seli=[0, 1, 2, 4], ncc=[0.5, 0.5, 0.6, 0.7], log_vc=[3, 2, 2, 1])
    whole = ranking.totals(table).set_index("model")["score"]
    part = ranking.totals(table[table["model"] != "d"]).set_index("model")["score"]
    assert part["c"] == pytest.approx(1 + 1 - 0) != whole["c"]


def test_a_metric_of_one_term_is_its_own_total():
    table = pd.DataFrame(
        {"model": MODELS, "target": "t1", "metric": "logme", "term": "total", "score": [1.0, 2.0, 3.0, 5.0]}
    )
    assert ranking.totals(table)["score"].tolist() == [1.0, 2.0, 3.0, 5.0]


def test_the_static_baseline_never_sees_its_own_target():
    pretraining = pd.DataFrame({"model": MODELS, "source_accuracy": [1.0, 2, 3, 4], "n_parameters": [4, 3, 2, 1]})
    table = (
        experiment.baselines(pretraining, ACCURACIES)
        .query("metric == 'static_baseline'")
        .pivot(index="model", columns="target", values="score")
    )
    pd.testing.assert_series_equal(table["t1"], ACCURACIES["t2"], check_names=False)
    pd.testing.assert_series_equal(table["t2"], ACCURACIES["t1"], check_names=False)


def scored(**by_metric):
    rows = [
        {"model": m, "target": t, "metric": metric, "term": "total", "score": s}
        for metric, table in by_metric.items()
        for t, column in table.items()
        for m, s in zip(MODELS, column, strict=True)
    ]
    return pd.DataFrame(rows)


def test_the_average_row_is_the_mean_over_targets_with_a_joint_interval():
    scores = scored(logme={"t1": [4.0, 3, 2, 1], "t2": [1.0, 2, 4, 3]})
    table = experiment.correlations(scores, ACCURACIES).set_index("target")
    one, two = 1.0, ranking.weighted_kendall([1, 2, 4, 3], ACCURACIES["t2"].to_numpy())
    assert table["weighted_kendall"].to_dict() == pytest.approx({"t1": one, "t2": two, "average": (one + two) / 2})
    assert list(table.index) == ["t1", "t2", "average"]
    assert (
        table[["low", "high", "low_models", "high_models"]].isna().all(axis=None)
    )  # four models tell nothing of others


def test_the_whole_interval_is_wider_than_that_of_other_models_and_both_hold_the_value():
    truth = pd.DataFrame(
        {"t1": np.arange(9.0), "t2": np.arange(9.0) ** 2}, index=pd.Index([*"abcdefghi"], name="model")
    )
    order = [1.0, 0, 3, 2, 4, 6, 5, 8, 7]
    scores = pd.concat(
        [pd.DataFrame({"model": truth.index, "target": t, "metric": "logme", "score": order}) for t in truth]
    )
    noise = resampling.Noise(images=truth * 0 + 1.5)
    row = experiment.correlations(scores, truth, noise).set_index("target").loc["average"]
    assert row["low"] < row["low_models"] < row["weighted_kendall"] < row["high_models"] <= 1


def runs(**of_target):
    """Two models, seeds of each target, one column of accuracies."""
    rows = [(m, target, seed, value) for target, by_seed in of_target.items() for seed, values in enumerate(by_seed)
            for m, value in zip("ab", values, strict=True)]  # fmt: skip
    return pd.DataFrame(rows, columns=["model", "target", "seed", "accuracy"])


def test_the_noise_of_seeds_is_pooled_over_models_and_used_for_targets_with_one_seed():
    noise = experiment.noise_of(runs(t=[(10.0, 20), (12.0, 26)], u=[(1.0, 2)]), NOBODY)
    variance = (2**2 / 2 + 6**2 / 2) / 2  # of one fine-tuning; two of them are averaged
    assert noise.seeds["t"].tolist() == pytest.approx([np.sqrt(variance / 2)] * 2)
    assert noise.seeds["u"].tolist() == pytest.approx([np.sqrt(variance)] * 2)
    assert noise.images is None and noise.runs == ()


NOBODY = pd.DataFrame(columns=["repetition", "model", "target", "accuracy"])


def test_what_was_never_repeated_has_no_known_noise():
    noise = experiment.noise_of(runs(t=[(10.0, 20)]), NOBODY)
    assert noise.seeds is None and resampling.covers(noise) == "95 % of draws of other models only"


def test_repetitions_are_read_from_the_noise_study_but_for_the_profiles_own(root):
    folder = paths.reference("noise/smoke")
    folder.mkdir(parents=True)
    table = pd.DataFrame(
        {"repetition": [0, 0, 1, 1, 2, 2], "model": [*"ababab"], "target": "t", "accuracy": range(6), "ncti": range(6)}
    )
    table.to_csv(folder / "supervised.csv", index=False)
    found = {name: set(experiment.repetitions(name, "supervised")["repetition"]) for name in ("smoke", "smoke+2")}
    assert found == {"smoke": {1, 2}, "smoke+2": {0, 1}}
    assert experiment.repetitions("smoke", "text").empty
    noise = experiment.noise_of(runs(t=[(1.0, 2)]), experiment.repetitions("smoke", "supervised"))
    assert [run["ncti"]["t"].to_dict() for run in noise.runs] == [{"a": 2, "b": 3}, {"a": 4, "b": 5}]
    assert resampling.covers(noise) == "95 % of draws of other models and training (3 runs)"


def test_a_metric_that_gives_all_models_one_score_has_no_correlation_there():
    scores = scored(h_score={"t1": [1.0, 1, 1, 1], "t2": [1.0, 2, 3, 4]})
    table = experiment.correlations(scores, ACCURACIES).set_index("target")
    assert np.isnan(table.loc["t1", "weighted_kendall"])
    assert table.loc["average", "weighted_kendall"] == table.loc["t2", "weighted_kendall"] == 1.0


def test_seed_noise_compares_two_fine_tunings_of_the_same_models():
    table = pd.DataFrame({
        "model": ["a", "a", "b", "b", "c", "c"] + ["a", "b", "c"],
        "target": ["t1"] * 6 + ["t2"] * 3,
        "seed": [0, 1] * 3 + [0] * 3,
        "accuracy": [90.0, 88, 80, 81, 70, 73] + [1.0, 2, 3],
    })  # fmt: skip
    noise = experiment.seed_noise(table)
    assert noise["target"].tolist() == ["t1"]
    assert noise["difference"].item() == pytest.approx((2 + 1 + 3) / 3)
    assert noise["weighted_kendall"].item() == 1.0


def test_missing_results_are_named(root):
    with pytest.raises(
        FileNotFoundError,
        match="data/results/smoke/supervised/accuracies.csv is missing: run `make all PROFILE=smoke`$",
    ):
        Experiment("supervised").read("accuracies")


def test_missing_features_are_named(root):
    with pytest.raises(
        FileNotFoundError,
        match="no valid features of vgg16 on digits in data/cache/smoke/features: run `make all PROFILE=smoke`$",
    ):
        Experiment("supervised").features_of("vgg16", "digits")


def test_features_of_a_mistyped_model_or_target_are_refused(root):
    with pytest.raises(ValueError, match="unknown model 'vgg61'.*did you mean 'vgg16'"):
        Experiment("supervised").features_of("vgg61", "digits")
    with pytest.raises(ValueError, match="unknown target 'digit'.*did you mean 'digits'"):
        Experiment("supervised").features_of("vgg16", "digit")
