"""`make verify`: what is the same, what may move and how far, and what no honest run would show."""

import dataclasses
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ncrepro.commands import cli as pipeline
from ncrepro.commands import step_digests, tolerances, verify
from ncrepro.store import paths

DEMO = Path(__file__).resolve().parents[1] / "data" / "reference" / "demo"
FEW = [
    "supervised/accuracies.csv",
    "supervised/scores.csv",
    "supervised/correlations.csv",
    "supervised/pretraining.csv",
    "selfsupervised/accuracies.csv",
    "selfsupervised/scores.csv",
    "selfsupervised/correlations.csv",
    "low_shot/rankings.csv",
    "text/scores.csv",
    "rank_your_own/ranking.csv",
    "metrics/equations.csv",
    "published/averages.csv",
]
FEWER = ["supervised/accuracies.csv", "supervised/correlations.csv", "selfsupervised/scores.csv", "text/scores.csv",
         "rank_your_own/ranking.csv"]  # fmt: skip


# Repetitions made up --------------------------------------------------------------------------------------------------


NOISES = {  # draws of unit variance
    "normal": lambda rng, n: rng.standard_normal(n),
    "t4": lambda rng, n: rng.standard_t(4, n) / 2**0.5,
    "t3": lambda rng, n: rng.standard_t(3, n) / 3**0.5,
    "outliers": lambda rng, n: rng.standard_normal(n) * np.where(rng.random(n) < 0.02, 8, 1) / 1.5,
}


def again(tables: dict[str, pd.DataFrame], seed: int, noise: str = "t4") -> dict[str, pd.DataFrame]:
    """The tables of a run with other seeds: noise of several points, of each model and of each of its numbers."""
    rng = np.random.default_rng(seed)
    effects = {}

    def draw(n: int) -> np.ndarray:
        return NOISES[noise](rng, n)

    def shared(*names) -> np.ndarray:
        """Noise that is the same in all tables and rows of the same names."""
        return np.array([effects.setdefault(name, draw(1)[0]) for name in zip(*names, strict=True)])

    made = {}
    for name, table in tables.items():
        pool, table = [name.split("/")[0]] * len(table), table.copy()
        if not verify.rests_on_training(name):
            made[name] = table
            continue
        model, target, metric, term = (
            table.get(key, pd.Series("", table.index)) for key in ("model", "target", "metric", "term")
        )
        for column in table.columns.drop(tolerances.keys_of(table)):
            values = tolerances.numbers(table[column])
            if values is None or (values.dropna() % 1 == 0).all():
                continue  # text, and counts
            alone = draw(len(table))
            if "accuracy" in column or column == "mean_iou":
                moved = values + 1.5 * shared(pool, model) + 2 * shared(pool, model, target) + 1.5 * alone
            elif column == "score":
                spread = values.groupby([metric, term]).transform("std").fillna(1)
                moved = values * (1 + 0.04 * shared(pool, model, metric)) + 0.15 * spread * shared(
                    pool, model, target, metric, term
                )
            elif column in ("weighted_kendall", "pearson", "spearman", "low", "high"):
                moved = (
                    values + np.where(target == "average", 0.08, 0.18) * shared(pool, metric, target) + 0.04 * alone
                ).clip(-1, 1)
            else:
                moved = values * (1 + 0.1 * alone) + 0.1 * values.std() * alone[::-1]
            table[column] = ["" if np.isnan(value) else f"{value:.10g}" for value in moved]
        made[name] = table
    return made


def study_of(runs: list[dict[str, pd.DataFrame]]) -> tolerances.Limits:
    tables = {name: tolerances.channels([run[name] for run in runs]) for name in runs[0]}
    bounds = tolerances.bounds(tolerances.leave_one_out(tables, len(runs)))
    return dataclasses.replace(tolerances.fit(tables, list(range(len(runs)))), bounds=bounds)


@pytest.fixture(scope="module")
def demo():
    return {table: verify.read(path) for table, path in verify.tables_in(DEMO).items()}


@pytest.fixture(scope="module")
def few(demo):
    """Some tables of a made-up run, as the reference, and the limits of five more."""
    runs = [again({name: demo[name] for name in FEW}, seed) for seed in range(6)]
    return runs[0], study_of(runs)


def fails(reference, mine, limits) -> list[tolerances.Finding]:
    found = [f for name in reference for f in verify.largest_moves(name, reference[name], mine[name], limits)]
    return [f for f in found if limits.times(f) > 1]


# The statistical level ------------------------------------------------------------------------------------------------


def test_honest_runs_with_other_seeds_pass_nineteen_times_in_twenty(demo):
    """Over all kinds of noise, each with its own reference and study."""
    refused = []
    for noise in NOISES:
        runs = [again({name: demo[name] for name in FEWER}, seed, noise) for seed in range(26)]
        tables, known = {name: tolerances.channels([run[name] for run in runs]) for name in FEWER}, list(range(6))
        bounds = tolerances.bounds(tolerances.leave_one_out(tables, len(known)))
        limits = dataclasses.replace(tolerances.fit(tables, known), bounds=bounds)
        for run in range(6, 26):
            found = [
                f
                for name, made in tables.items()
                for channel in made
                for f in tolerances.compare(name, channel, limits, 0, run)
            ]
            refused.append(any(limits.times(finding) > 1 for finding in found))
    assert len(refused) == 80
    assert sum(refused) <= 4


@pytest.mark.parametrize(
    ("one", "other"), [("resnet34", "vgg16"), ("densenet121", "inception_v3"), ("mobilenet_v2", "efficientnet_b1")]
)
def test_exchanged_features_of_two_models_fail(few, one, other):
    tables, limits = few
    mine = again(tables, 200)
    scores = mine["supervised/scores.csv"].set_index("model")
    swapped = scores.rename({one: other, other: one}).loc[scores.index.unique()].reset_index()
    found = fails(tables, mine | {"supervised/scores.csv": swapped}, limits)
    assert any(
        finding.table == "supervised/scores.csv" and finding.by.startswith("exchanged model") for finding in found
    )


@pytest.mark.parametrize("target", ["digits", "signs"])
def test_shuffled_labels_of_one_target_fail(few, target):
    """Labels that say nothing: models differ by chance only, and all by as much as those that are worst."""
    tables, limits = few
    mine, rng = again(tables, 201), np.random.default_rng(0)
    scores = mine["supervised/scores.csv"].copy()
    of_target = scores["target"] == target
    values = scores.loc[of_target, "score"].astype(float)
    worst = values.groupby([scores["metric"], scores["term"]]).transform("min")
    scores.loc[of_target, "score"] = [f"{value:.10g}" for value in worst * (1 + 0.05 * rng.standard_normal(len(worst)))]
    found = fails(tables, mine | {"supervised/scores.csv": scores}, limits)
    assert [f.table for f in found] == ["supervised/scores.csv"]
    assert target in verify.describe(found[0])


@pytest.mark.parametrize("metric", ["logme", "gbc", "h_score", "ncti", "face"])
def test_the_wrong_sign_of_one_metric_fails(few, metric):
    tables, limits = few
    mine = again(tables, 202)
    scores = mine["supervised/scores.csv"].copy()
    wrong = scores["metric"] == metric
    scores.loc[wrong, "score"] = [f"{-float(value):.10g}" for value in scores.loc[wrong, "score"]]
    assert [f.table for f in fails(tables, mine | {"supervised/scores.csv": scores}, limits)] == [
        "supervised/scores.csv"
    ]


@pytest.mark.parametrize("table", ["supervised/scores.csv", "supervised/correlations.csv"])
def test_a_metric_newer_than_the_repetitions_is_named_and_not_judged_while_the_others_are(few, table):
    tables, limits = few
    column = "score" if table.endswith("scores.csv") else "weighted_kendall"
    newer = tables[table].query("metric == 'logme'").assign(metric="newer")
    reference, mine = (pd.concat([run[table], newer], ignore_index=True) for run in (tables, again(tables, 204)))
    apart = mine["metric"] == "newer"
    mine.loc[apart, column] = [f"{-7 * float(value):.10g}" for value in mine.loc[apart, column]]  # whatever it may be
    assert fails({table: reference}, {table: mine}, limits) == []
    (sentence,) = verify.unjudged_columns(table, reference, mine, limits)
    assert f"{table}: {column} moved in {apart.sum()} rows of newer" in sentence and "make noise" in sentence
    assert verify.unjudged_columns(table, tables[table], again(tables, 204)[table], limits) == []
    wrong = mine["metric"] == "logme"
    mine.loc[wrong, column] = [f"{-float(value):.10g}" for value in mine.loc[wrong, column]]
    assert fails({table: reference}, {table: mine}, limits)


def test_the_wrong_sign_of_one_metrics_correlations_fails(few):
    tables, limits = few
    mine = again(tables, 203)
    table = mine["supervised/correlations.csv"].copy()
    wrong = table["metric"] == "static_baseline"
    for column in ("weighted_kendall", "pearson", "spearman"):
        table.loc[wrong, column] = [f"{-float(value):.10g}" for value in table.loc[wrong, column]]
    assert fails(tables, mine | {"supervised/correlations.csv": table}, limits)


def test_every_number_of_every_committed_table_is_looked_at(demo):
    """Each numeric column times -1000 in a run that is otherwise an honest one: fails whatever the bounds are."""
    runs = [again(demo, seed) for seed in range(6)]
    tables = {name: tolerances.channels([run[name] for run in runs]) for name in demo if verify.rests_on_training(name)}
    limits, mine = tolerances.fit(tables, list(range(6))), again(demo, 6)
    boundless = dataclasses.replace(limits, bounds=dict.fromkeys(tolerances.FAMILIES, 1e9))
    assert not fails(runs[0], mine, boundless)
    blind, columns = [], 0
    for name, table in runs[0].items():
        of_numbers = {column: tolerances.numbers(mine[name][column]) for column in table}
        wrong = {
            column: ["" if np.isnan(value) else f"{-1000 * value:.10g}" for value in values]
            for column, values in of_numbers.items()
            if values is not None and values.fillna(0).any()
        }
        columns += len(wrong)
        keys = wrong.keys() & set(tolerances.keys_of(table))
        others = {column: made for column, made in wrong.items() if column not in keys}
        seen = {f.channel.name for f in fails({name: table}, {name: mine[name].assign(**others)}, boundless)}
        seen.update(
            key for key in keys if fails({name: table}, {name: mine[name].assign(**{key: wrong[key]})}, boundless)
        )
        blind += [f"{name}: {column}" for column in wrong if column not in seen]
    assert columns > 200
    assert blind == []


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (lambda v: v.where(v.index != 3, 5000), tolerances.OUTSIDE),
        (lambda v: v.where(v.index != 3, -2500), tolerances.OUTSIDE),
        (lambda v: -v, tolerances.TURNED),
        (lambda v: v * np.nan, tolerances.LOST),
        (lambda v: v.where(v.index != 3), tolerances.UNMOVED),  # no repetition left a number out
        (lambda v: v.where(v.index != 3, np.inf), tolerances.OUTSIDE),
        (lambda v: v.where(v.index != 3, -np.inf), tolerances.OUTSIDE),
    ],
)
def test_the_impossible_fails_whatever_the_noise(few, wrong, why):
    tables, limits = few
    boundless = dataclasses.replace(limits, bounds=dict.fromkeys(tolerances.FAMILIES, 1e9))
    table = tables["supervised/accuracies.csv"]
    values = wrong(table["accuracy"].astype(float))
    mine = table.assign(accuracy=["" if np.isnan(value) else f"{value:.10g}" for value in values])
    found = fails({"supervised/accuracies.csv": table}, {"supervised/accuracies.csv": mine}, boundless)
    assert why in {finding.by for finding in found}


def test_a_column_that_moves_for_the_first_time_is_judged_as_its_namesakes_are_elsewhere():
    """The same column in two tables; in the first it moved, in the second it did not yet."""
    rng = np.random.default_rng(0)

    def table(best: int = 0, constant: str = "1") -> pd.DataFrame:
        choices = ["vgg16"] * best + ["resnet34"] * (12 - best)
        return pd.DataFrame({"target": [f"t{i}" for i in range(12)], "choice": choices, "n_samples": constant})

    runs = [{"a/choices.csv": table(int(rng.integers(0, 3))), "b/choices.csv": table()} for _ in range(6)]
    limits = study_of(runs)
    assert ("a/choices.csv", "choice") in limits.usual and ("b/choices.csv", "choice") not in limits.usual
    for mine, wrong in ((table(1), False), (table(12), True), (table(constant="2"), True)):
        assert bool(fails({"b/choices.csv": table()}, {"b/choices.csv": mine}, limits)) == wrong


def test_words_that_move_for_the_first_time_are_judged_as_the_same_words_in_other_columns_of_the_table():
    """Three columns of answers: one moved, one did not yet, and one is of other words."""
    rng = np.random.default_rng(0)

    def table(no: int = 0, new: list[int] = (), other: str = "high", word: str = "no") -> pd.DataFrame:
        answers = ["no"] * no + ["yes"] * (12 - no)
        steady = [word if i in new else "yes" for i in range(12)]
        return pd.DataFrame({"pool": [f"p{i}" for i in range(12)], "moved": answers, "steady": steady, "size": other})

    runs = [{"a.csv": table(int(rng.integers(1, 4)))} for _ in range(6)]
    limits = study_of(runs)
    assert ("a.csv", "moved") in limits.usual and ("a.csv", "steady") not in limits.usual
    for mine, wrong in (
        (table(2, [5]), False),
        (table(2, list(range(12))), True),
        (table(2, [5], word="perhaps"), True),
        (table(2, other="low"), True),
    ):
        assert bool(fails({"a.csv": table(2)}, {"a.csv": mine}, limits)) == wrong


def test_where_no_cell_is_empty_none_may_be_though_its_namesakes_have_empty_ones():
    def table(empty: int, n: int = 12) -> pd.DataFrame:
        return pd.DataFrame({"target": [f"t{i}" for i in range(n)], "tau": [""] * empty + ["0.5"] * (n - empty)})

    limits = study_of([{"a/taus.csv": table(k), "b/taus.csv": table(0)} for k in (0, 3, 1, 2, 3, 1)])
    assert ("a/taus.csv", "tau, empty") in limits.usual
    assert fails({"b/taus.csv": table(0)}, {"b/taus.csv": table(1)}, limits)
    assert not fails({"a/taus.csv": table(2)}, {"a/taus.csv": table(3)}, limits)


def test_a_number_that_was_the_same_in_every_run_may_move_as_far_as_its_column_reaches():
    rng = np.random.default_rng(0)

    def table(moved=1.0):
        narrow, wide = 0.9 + 0.001 * rng.random(7), rng.uniform(0.3, 0.9)
        return pd.DataFrame({"metric": [f"m{i}" for i in range(9)], "high": [moved, wide, *narrow]}).astype(str)

    runs = [table() for _ in range(6)]
    channel = next(c for c in tolerances.channels([*runs, table(0.92), table(-60.0)]) if c.name == "high")
    limits = tolerances.fit({"a.csv": [channel]}, list(range(6)))
    outside = [
        [f.by for f in tolerances.compare("a.csv", channel, limits, 0, run) if f.by == tolerances.OUTSIDE]
        for run in (6, 7)
    ]
    assert outside == [[], [tolerances.OUTSIDE]]


def test_what_rests_on_no_training_is_compared_to_the_ninth_digit_whatever_the_study_says(few):
    tables, limits = few
    published = tables["published/averages.csv"]
    nearly = published.assign(computed=[f"{float(value) * (1 + 5e-10):.12g}" for value in published["computed"]])
    assert not fails({"published/averages.csv": published}, {"published/averages.csv": nearly}, limits)
    moved = published.assign(computed=[f"{float(value) * (1 + 1e-7):.12g}" for value in published["computed"]])
    lenient = study_of([{"published/averages.csv": table} for table in (published, moved, nearly, moved)])
    assert fails({"published/averages.csv": published}, {"published/averages.csv": moved}, lenient)


def test_what_rounding_leaves_has_a_bound_and_no_reference(few):
    tables, limits = few
    equations = {"metrics/equations.csv": tables["metrics/equations.csv"]}
    for difference, wrong in (("0", False), ("-3e-13", False), ("1e-6", True), ("", True)):
        mine = {"metrics/equations.csv": equations["metrics/equations.csv"].assign(difference=difference)}
        assert bool(fails(equations, mine, limits)) == wrong


def test_limits_are_the_same_after_they_were_written(few, tmp_path):
    tables, _ = few
    names = ["supervised/accuracies.csv", "selfsupervised/scores.csv"]
    runs = [{name: run[name] for name in names} for run in (tables, *(again(tables, seed) for seed in (1, 2, 3)))]
    limits = study_of(runs)
    tolerances.save(tmp_path, limits)
    read = tolerances.load(tmp_path)
    assert read.bounds == pytest.approx(limits.bounds, rel=1e-5)
    assert read.usual.keys() == limits.usual.keys()
    for unit, known in limits.units["selfsupervised/scores.csv", "score"].items():
        assert read.units["selfsupervised/scores.csv", "score"][unit] == pytest.approx(known, rel=1e-5)
    mine = again(tables, 9)
    for name in names:
        one, other = (verify.largest_moves(name, tables[name], mine[name], which) for which in (limits, read))
        assert [f.by for f in one] == [f.by for f in other]
        assert [f.excess for f in one] == pytest.approx([f.excess for f in other], rel=1e-3)


@pytest.mark.parametrize(("spread", "least"), [(0.3, 0.0), (0.5, 0.015)])
def test_the_bounds_are_exceeded_as_rarely_as_they_say(spread, least):
    """Runs whose excesses are log-normal: the bounds from six of them, and a seventh."""
    rng, runs = np.random.default_rng(0), pd.DataFrame({"run": range(6), "reference": 0})
    exceeded = []
    for draw in np.exp(rng.normal(2.0, spread, (1000, 7, 3))):
        bounds = tolerances.bounds(runs.join(pd.DataFrame(draw[:6], columns=tolerances.FAMILIES)))
        exceeded.append((draw[6] > list(bounds.values())).any())
    assert least <= np.mean(exceeded) <= 0.06


# Through the command --------------------------------------------------------------------------------------------------


ACCURACIES = pd.DataFrame({
    "model": list("aabbccdd"), "target": list("tu") * 4, "seed": 0,
    "accuracy": [50.0, 70, 60, 80, 55.25, 75, 65, 85], "note": ["", "x"] * 4,
})  # fmt: skip


def write(root: Path, kind: str, table: pd.DataFrame, name: str = "supervised/accuracies.csv") -> Path:
    path = root / "data" / kind / name
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, lineterminator="\n")
    return path


@pytest.fixture
def mine(root, monkeypatch):
    """A reference of one table, and the same table as a result; as on a machine where the same bytes are expected."""
    monkeypatch.setattr(verify.pinned_arithmetic, "why_not_exact", lambda: None)
    monkeypatch.setattr(step_digests, "differing_names", list)
    write(root, "reference/smoke", ACCURACIES)
    return write(root, "results/smoke", ACCURACIES)


@pytest.fixture
def measured(root, mine):
    """A noise study of that table: three repetitions that lie a point or two apart."""
    rng = np.random.default_rng(0)
    moved = [ACCURACIES.assign(accuracy=ACCURACIES["accuracy"] + rng.normal(0, 1.5, 8)) for _ in range(3)]
    runs = [
        verify.read(mine),
        *(verify.read(write(root, f"results/smoke+{r}", table)) for r, table in enumerate(moved, 1)),
    ]
    tolerances.save(paths.noise("smoke"), study_of([{"supervised/accuracies.csv": run} for run in runs]))
    return mine


def run_verify(capsys) -> tuple[int, str, str]:
    status = pipeline.main(["verify"])
    streams = capsys.readouterr()
    assert "Traceback" not in streams.err
    return status, streams.out, streams.err


def test_the_same_bytes_are_exact_on_any_machine(mine, capsys, monkeypatch):
    for why in (None, "this is Darwin on arm64"):
        monkeypatch.setattr(verify.pinned_arithmetic, "why_not_exact", lambda why=why: why)
        status, out, _ = run_verify(capsys)
        assert status == 0
        assert "16 numbers in 1 tables" in out and "exact: all 1 tables are byte for byte those of the reference" in out


def test_without_a_study_one_other_digit_fails_and_is_named(mine, capsys):
    ACCURACIES.assign(accuracy=ACCURACIES["accuracy"].where(ACCURACIES.index != 4, 55.26)).to_csv(mine, index=False)
    status, out, _ = run_verify(capsys)
    assert status == 1
    assert "supervised/accuracies.csv: 1 cells differ, the first is accuracy in row 5: 55.26, was 55.25" in out
    assert "make noise PROFILE=smoke" in out


def test_one_other_digit_fails_where_this_machine_computes_as_the_references_did(measured, capsys):
    ACCURACIES.assign(accuracy=ACCURACIES["accuracy"].where(ACCURACIES.index != 4, 55.26)).to_csv(measured, index=False)
    status, out, _ = run_verify(capsys)
    assert status == 1
    assert "1 cells differ, the first is accuracy in row 5: 55.26, was 55.25" in out
    assert re.match("failed: .*so code, data or tables were changed: `make all PROFILE=smoke`", out.splitlines()[-1])


def test_where_the_cpu_computes_otherwise_a_study_decides(measured, capsys, monkeypatch):
    """A CPU of which the same bytes were expected, and whose digests are others."""
    monkeypatch.setattr(step_digests, "differing_names", lambda: ["torch functions", "tsne"])
    ACCURACIES.assign(accuracy=ACCURACIES["accuracy"] + 1).to_csv(measured, index=False)
    status, out, _ = run_verify(capsys)
    assert status == 0
    assert "8 cells differ" in out  # the exact level failed, and that is said too
    assert re.match(r"statistical: .*2 digests \(torch functions, ...\) differ on this CPU", out.splitlines()[-1])
    ACCURACIES.assign(accuracy=[50.0, 70, 60, 30, 55.25, 75, 65, 85]).to_csv(measured, index=False)
    status, out, _ = run_verify(capsys)
    assert status == 1
    assert "supervised/accuracies.csv: accuracy moved, most at b, u: 30, was 80" in out
    assert out.splitlines()[-1].startswith("failed: ")


def test_where_the_same_bytes_are_not_expected_the_reason_is_printed_and_single_cells_are_not(
    measured, capsys, monkeypatch
):
    monkeypatch.setattr(verify.pinned_arithmetic, "why_not_exact", lambda: "this is Darwin on arm64")
    ACCURACIES.assign(accuracy=ACCURACIES["accuracy"] + 1).to_csv(measured, index=False)
    status, out, _ = run_verify(capsys)
    assert status == 0
    assert "not exact: this is Darwin on arm64" in out and "cells differ" not in out


def test_a_repetition_is_compared_with_the_reference_of_its_profile(measured, root, capsys):
    assert verify.verify("smoke+2") == 0
    assert "not exact: a repetition has other seeds" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (ACCURACIES.assign(note="x"), "note 4 of 8 moved"),
        (ACCURACIES.assign(note="y"), "note holds the word 'y', which the reference has nowhere in such columns"),
        (ACCURACIES.assign(seed=1), "seed 8 of 8 moved"),
        (ACCURACIES.iloc[:-1], "rows 1 of 8 moved, most at d, u: absent, was present"),
        (pd.concat([ACCURACIES, ACCURACIES.iloc[:1]]), "rows 1 of 9 moved"),
        (ACCURACIES.assign(accuracy=ACCURACIES["accuracy"].where(ACCURACIES.index > 0)), "accuracy, empty"),
        (ACCURACIES.assign(accuracy="high"), "accuracy holds 'high' where the reference has numbers"),
        (ACCURACIES.drop(columns="note"), "its columns are not the reference's: it lacks 'note'"),
        (ACCURACIES.assign(more=1), "it has in addition 'more'"),
        (ACCURACIES[["target", "model", "seed", "accuracy", "note"]], "it has them in another order"),
    ],
)
def test_what_no_repetition_moved_fails_also_with_a_study(measured, capsys, table, message):
    table.to_csv(measured, index=False)
    status, out, _ = run_verify(capsys)
    assert status == 1
    assert message in out


@pytest.mark.parametrize(
    ("table", "column", "word", "new"),
    [
        ("which_metric/advice.csv", "most_often", "ncti logme gbc", False),
        ("which_metric/advice.csv", "most_often", "regularized_h_score leep", False),  # of other columns of metrics
        ("which_metric/advice.csv", "most_often", "ncti magic", True),
        ("which_metric/advice.csv", "most_often", "resnet34", True),  # a word, but of no metric
        ("which_metric/advice.csv", "most_often", "", True),
        ("which_metric/held_out.csv", "metrics", "ncti_", True),
        ("which_metric/sets.csv", "pool", "demo supervized", True),
        ("supervised/embedding.csv", "caption", "vgg16: 12.5 %\nseli 1e3, ncc -4, log vc 0.1", False),
        ("supervised/embedding.csv", "caption", "vgg99: 12.5 %", True),
        ("supervised/accuracies.csv", "model", "resnet35", True),
        ("rank_your_own/ranking.csv", "model", "resnet34", False),
    ],
)
def test_a_word_may_be_another_of_its_kind_and_none_that_the_reference_does_not_have(demo, table, column, word, new):
    cells = demo[table][column].where(demo[table].index != 2, word)
    pairs = {name: (known, known) for name, known in demo.items()}
    messages = verify.new_words([table], pairs | {table: (demo[table], demo[table].assign(**{column: cells}))})
    assert bool(messages) == new
    assert not new or (len(messages) == 1 and messages[0].startswith(f"{table}: {column} holds "))


def test_of_a_table_that_moved_everywhere_the_first_lines_are_shown_and_the_others_counted(root, measured, capsys):
    wide = ACCURACIES.assign(**{f"n{i}": range(8) for i in range(9)})
    write(root, "reference/smoke", wide, "supervised/wide.csv")
    write(root, "results/smoke", wide.assign(**{f"n{i}": -3 for i in range(9)}), "supervised/wide.csv")
    status, out, _ = run_verify(capsys)
    lines = [line for line in out.splitlines() if line.startswith("supervised/wide.csv: n")]
    assert status == 1 and len(lines) == verify.SHOWN
    assert re.search("^and [0-9]+ more such lines of supervised/wide.csv$", out, re.M)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"model,target\na,\xff\n", "is not UTF-8: byte 15 cannot be read"),
        (b"model,target,seed,accuracy,note\na,t,0,50.0,\na,u", "is torn: row 3 has 2 cells, its header 5"),
        (b"model,target,seed,accuracy,note\na,t,0,50.0,x", "is torn: its last line has no end"),
        (b'model,target,seed,accuracy,note\na,t,0,50.0,"x\n', "is torn or no CSV"),
        (b"model,model\na,b\n", "names a column twice"),
    ],
)
def test_a_damaged_table_is_named_in_one_line(measured, capsys, content, message):
    measured.write_bytes(content)
    status, out, _ = run_verify(capsys)
    assert status == 1
    assert any(line.startswith("supervised/accuracies.csv: ") and message in line for line in out.splitlines())


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_is_no_plain_file_is_named_and_the_other_tables_are_looked_at(mine, root, capsys, make):
    write(root, "reference/smoke", ACCURACIES, "supervised/other.csv")
    write(root, "results/smoke", ACCURACIES.assign(note="y"), "supervised/other.csv")
    mine.unlink()
    make(mine)
    status, out, _ = run_verify(capsys)
    assert status == 1
    assert re.search("^supervised/accuracies.csv: data/results/smoke/supervised/.* is no plain file", out, re.M)
    assert "supervised/other.csv: 8 cells differ" in out


def test_tables_that_are_missing_or_new_are_named_and_times_are_exempt_and_counted(mine, root, capsys):
    for name in ("supervised/seconds_finetune.csv", "supervised/new.csv"):
        write(root, "results/smoke", ACCURACIES, name)
    write(root, "reference/smoke", ACCURACIES, "text/old.csv")
    status, out, _ = run_verify(capsys)
    assert status == 1
    assert "supervised/new.csv: has no reference" in out
    assert "text/old.csv: is missing here" in out
    assert out.splitlines()[-1] == "failed: 1 of 2 tables are those of the reference; see above for the others"
    for i in range(9):
        write(root, "results/smoke", ACCURACIES, f"text/new{i}.csv")
    out = run_verify(capsys)[1]
    assert out.count("has no reference") == verify.SHOWN and "and 7 more tables of no reference" in out
    assert "exempt: 1 tables seconds_*: processor time and memory differ from run to run" in out


def test_results_or_a_reference_that_are_missing_are_one_sentence(mine, root, capsys):
    shutil.rmtree(root / "data" / "results")
    status, _, err = run_verify(capsys)
    assert status == 1 and "data/results/smoke holds no tables: run `make all PROFILE=smoke` first" in err
    shutil.rmtree(root / "data" / "reference")
    status, _, err = run_verify(capsys)
    assert status == 1 and "there is no committed reference for profile 'smoke'" in err


@pytest.mark.parametrize("change", [lambda raw: raw.replace(b"\n", b"\r\n"), lambda raw: b"\xef\xbb\xbf" + raw])
def test_other_line_ends_or_a_byte_order_mark_are_other_bytes(mine, capsys, change):
    mine.write_bytes(change(mine.read_bytes()))
    status, out, _ = run_verify(capsys)
    assert status == 1 and "the same cells in other bytes" in out
