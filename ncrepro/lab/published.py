"""The numbers that the two papers and the blog print, as tidy tables, and an audit of them.

Nothing here trains or downloads: `data/published/` holds what is printed, and the audit asks whether the printed
numbers agree with each other. `data/README.md` says where each file comes from.
"""

from collections.abc import Iterator
from itertools import chain

import numpy as np
import pandas as pd

from ..store import paths

TABLES = {
    "ncti_table1": "NCTI Table 1",
    "ncti_table2": "NCTI Table 2",
    "face_table1": "FaCe Table 1",
    "face_table2": "FaCe Table 2",
    "face_table3": "FaCe Table 3",
}  # those that are metrics x targets
NCTI_POOLS = {"supervised": "ncti_table1", "selfsupervised": "ncti_table2"}  # pool -> how its models are ranked
SYMBOLS = {"weighted_kendall": "τ_w", "pearson": "ρ"}


def load(name: str) -> pd.DataFrame:
    """One file of ``data/published/``, by its name without ``.csv``.

    Tables of the papers come tidy (statistic, metric, target, value, mark), fine-tuned accuracies and the blog's
    scores with one row per model. `mark` is ``best`` or ``second`` where the paper sets a value in bold or underlines
    it. A name that does not exist raises ``ValueError``.
    """
    names = sorted(path.stem for path in paths.published().glob("*.csv"))
    if name not in names:
        raise ValueError(f"no published table {name!r}; choose one of {', '.join(names)}")
    table = pd.read_csv(paths.published() / f"{name}.csv", keep_default_na=False)
    return table.set_index("model") if "model" in table else table


def wide(name: str, statistic: str = "weighted_kendall") -> pd.DataFrame:
    """A published table (metrics x targets) of one statistic, in the printed order, ``average`` last."""
    table = load(name)
    table = table[table["statistic"] == statistic]
    return table.pivot(index="metric", columns="target", values="value").reindex(
        index=table["metric"].unique(), columns=table["target"].unique()
    )


def averages() -> pd.DataFrame:
    """Every printed average beside the mean of the values printed in its row.

    Columns: table, statistic, metric, n_targets, printed, computed, and `units`, their difference in units of the last
    printed digit. Up to 0.5 the average is that of the printed values. Up to 1 the rounding of the values can explain
    the difference, but with more values this is less likely. From 1 on it cannot.
    """
    rows = []
    for name in TABLES:
        decimals = 3 if name.startswith("ncti") else 2
        for statistic in load(name)["statistic"].unique():
            table = wide(name, statistic)
            values = table.drop(columns="average")
            for metric, printed, mean in zip(table.index, table["average"], values.mean(axis=1), strict=True):
                units = round((printed - mean) * 10**decimals, 6)
                rows.append((name, statistic, metric, values.shape[1], printed, mean, units))
    return pd.DataFrame(rows, columns=["table", "statistic", "metric", "n_targets", "printed", "computed", "units"])


def benchmark() -> pd.DataFrame:
    """Mean weighted Kendall of every method of NCTI's Tables 1 and 2, and of a ranking that never sees the target.

    Columns: pool, metric, printed (False for what is computed here), weighted_kendall, low, high (bootstrap interval
    over models, only where it can be computed), wins (targets on which NCTI is above). The static ranking of the
    self-supervised pool is computed twice, with all models of the accuracy table and with those that the text lists,
    because the paper does not say which were ranked.
    """
    from .. import ranking  # here, so that what only reads these numbers, as training does, rests on no ranking

    rows = []
    for pool, name in NCTI_POOLS.items():
        table = wide(name)
        ncti = table.loc["ncti"].drop("average")
        for metric, values in table.iterrows():
            wins = int((ncti > values[ncti.index]).sum())
            rows.append((pool, metric, True, values["average"], np.nan, np.nan, wins))
        accuracies = load(f"{pool}_finetuned_accuracy")
        candidates = {"static_baseline": accuracies}
        listed = _listed(f"ncti_{pool}_models")
        if set(listed) < set(accuracies.index):
            candidates["static_baseline_listed"] = accuracies.loc[listed]
        for metric, accuracies in candidates.items():
            scores = ranking.static_baseline(accuracies)
            each = pd.Series({t: ranking.weighted_kendall(scores[t], accuracies[t]) for t in accuracies})
            interval = ranking.bootstrap_interval(ranking.weighted_kendall, scores, accuracies)
            wins = int((ncti > each[ncti.index]).sum())
            rows.append((pool, metric, False, each.mean(), *interval, wins))
    return pd.DataFrame(rows, columns=["pool", "metric", "printed", "weighted_kendall", "low", "high", "wins"])


def audit() -> pd.DataFrame:
    """What the publications print against what their own numbers give, one row per check.

    Columns: `where`, `kind` (average, count, gain, claim, tables, mark, ranking, tie), `what`, `printed` and `computed`
    (numbers), `holds`, `note`. Computed from ``data/published/`` alone.
    """
    checks = chain(
        _check_averages(),
        _check_counts(),
        _check_gains(),
        _check_claims(),
        _check_blog(),
        _check_tables_against_each_other(),
        _check_marks(),
        _check_ground_truth(),
        _check_static_ranking(),
    )
    table = pd.DataFrame(checks, columns=["where", "kind", "what", "printed", "computed", "holds", "note"])
    return table.astype({"printed": float, "computed": float, "holds": bool})


# ---- the checks: each yields rows (where, kind, what, printed, computed, holds, note) ------------------------------


def _check_averages() -> Iterator[tuple]:
    for row in averages().itertuples():
        excess = abs(row.units) - 0.5  # to be made up by the rounding errors of the row, each within +-0.5
        holds, deviations = excess <= 1e-6, excess * np.sqrt(12 * row.n_targets)
        if holds:
            note = ""
        elif excess < 0.5 - 1e-6:
            values = f"the rounding errors of its {row.n_targets} values"
            note = f"possible if {values} add up to {deviations:.1f} standard deviations"
        else:
            note = f"no rounding of its {row.n_targets} values gives this"
        what = f"average {SYMBOLS[row.statistic]} of {row.metric}"
        yield TABLES[row.table], "average", what, row.printed, row.computed, holds, note


def _place(row: pd.Series) -> str:
    """Where a claim stands."""
    return f"{row.source} {row.place}"


def _count(where: str, row: pd.Series, found: int, note: str) -> tuple:
    """Whether a number of models or targets that is printed is the number found."""
    return where, "count", row.meaning, row.printed, found, row.printed == found, note


def _check_counts() -> Iterator[tuple]:
    claims = _claims()
    for claim, row in claims.iterrows():
        listed = _listed(claim.replace("_n_", "_"))
        if "_n_" in claim and listed:
            yield _count(_place(row), row, len(listed), "the names listed in the text")
    for claim, factors in {
        "face_n_multi_source_models": ("architectures", "sources"),
        "face_n_loss_models": ("sources", "functions"),
    }.items():
        row, zoo = claims.loc[claim], claim.removesuffix("_models").replace("_n_", "_")
        one, other = (len(_listed(f"{zoo}_{factor}")) for factor in factors)
        yield _count(_place(row), row, one * other, f"{one} x {other} listed in the text")
    ranked = load("ncti_cifar10_blog")
    yield _count("Blog", claims.loc["blog_n_models"], len(ranked), "the rows of its table")
    row, targets = claims.loc["face_n_single_source_targets"], wide("face_table1").columns.drop("average")
    missing = sorted(set(targets) - set(_listed("face_single_source_targets")))
    yield _count("FaCe Table 1", row, len(targets), f"in the table and not in the text: {', '.join(missing)}")
    for pool in NCTI_POOLS:
        models, listed = load(f"{pool}_finetuned_accuracy").index, _listed(f"ncti_{pool}_models")
        row, known = claims.loc[f"ncti_n_{pool}_models"], [name for name in listed if name in models]
        pool = pool.replace("self", "self-")
        what = f"{pool} models in the accuracy table"
        note = f"not in the text's list: {', '.join(models.difference(listed))}"
        yield "NCTI accuracies", "count", what, row.printed, len(models), row.printed == len(models), note
        what = f"listed {pool} models that have an accuracy"
        note = ", ".join(f"no {name}" for name in listed if name not in known)
        yield _place(row), "count", what, len(listed), len(known), known == listed, note


def _check_gains() -> Iterator[tuple]:
    half = 0.0005  # both averages are rounded to three digits
    for pool, name in NCTI_POOLS.items():
        row, table = _claims().loc[f"ncti_gain_{pool}"], wide(name)
        ours, second = table.average["ncti"], table.average["sfda"]
        each = (table.loc["ncti"] - table.loc["sfda"]).drop("average")
        absolute, relative = 100 * (ours - second), 100 * (ours / second - 1)
        gains = (absolute, 200 * half), (relative, 100 * half * (ours + second) / second**2)
        near, slack = min(gains, key=lambda gain: abs(gain[0] - row.printed))
        holds = abs(near - row.printed) <= 0.05 + slack
        note = (
            f"absolute {absolute:.1f} points (standard error over targets {100 * each.sem():.1f}), relative "
            f"{relative:.1f} %; NCTI is above SFDA on {(each > 0).sum()} of {len(each)} targets"
        )
        yield _place(row), "gain", row.meaning, row.printed, near, holds, note


def _check_claims() -> Iterator[tuple]:
    claims, table = _claims(), wide("ncti_table1").drop(columns="average")
    row, ranks = claims.loc["ncti_n_first_or_second"], table.rank(ascending=False).loc["ncti"]
    first, found = (ranks == 1).sum(), (ranks <= 2).sum()
    yield _place(row), "claim", row.meaning, row.printed, found, row.printed == found, f"best on {first}"
    for statistic, symbol in SYMBOLS.items():
        table = wide("face_table1", statistic)
        for metric, name in (("face", "FaCe"), ("nce", "NCE")):
            targets = _listed(f"{metric}_highest_{statistic}")
            wrong = [t for t in targets if table[t][metric] < table[t].max()]
            what = f"targets on which {name} is called highest in {symbol}"
            notes = [f"{t}: {table[t].idxmax()} {table[t].max()}, {metric} {table[t][metric]}" for t in wrong]
            yield (
                "FaCe Section 4.1",
                "claim",
                what,
                len(targets),
                len(targets) - len(wrong),
                not wrong,
                "; ".join(notes),
            )
        means = table.drop(columns="average").mean(axis=1).sort_values(ascending=False)
        what, holds = f"highest average {symbol} of Table 1, said to be FaCe's", means.index[0] == "face"
        note = ", ".join(f"{metric} {mean:.4f}" for metric, mean in means.iloc[:2].items())
        yield "FaCe Section 4.1", "claim", what, table.average["face"], means.iloc[0], holds, note
    terms = load("face_table4").pivot(index=["pool", "statistic"], columns="metric", values="value")
    worse = terms[terms["face"] < terms.max(axis=1)]
    note = "; ".join(
        f"{pool}, {SYMBOLS[statistic]}: {row.idxmax()} {row.max()}, face {row['face']}"
        for (pool, statistic), row in worse.iterrows()
    )
    what, best = "rows of the ablation in which FaCe is best", len(terms) - len(worse)
    yield "FaCe Table 4", "claim", what, len(terms), best, worse.empty, note
    cited, defined = claims.loc["face_fairness_equation"], claims.loc["face_fairness_definition"]
    holds, note = cited.printed == defined.printed, f"defined in {defined.place}"
    yield "FaCe Algorithm 1", "claim", cited.meaning, cited.printed, defined.printed, holds, note


def _check_blog() -> Iterator[tuple]:
    from .. import ranking

    scores, accuracies = load("ncti_cifar10_blog")["ncti"], load("supervised_finetuned_accuracy")["cifar10"]
    value = ranking.weighted_kendall(scores, accuracies)
    for where, printed in (
        ("Blog", _claims().printed["blog_weighted_kendall"]),
        ("NCTI Table 1", wide("ncti_table1").cifar10["ncti"]),
    ):
        what = "τ_w of NCTI on CIFAR-10, from the blog's scores"
        yield where, "claim", what, printed, value, abs(value - printed) <= 0.0005, f"{value:.5f}"
    row, lowest = _claims().loc["ncti_total_minimum"], scores.min()
    note = f"{(scores < 0).sum()} of the blog's totals are negative: the code subtracts the normalised variability"
    yield "NCTI Eq. 11-12, blog", "claim", row.meaning, row.printed, lowest, lowest >= row.printed, note


def _check_tables_against_each_other() -> Iterator[tuple]:
    ablation = load("face_table4").set_index(["pool", "statistic", "metric"])["value"]
    for pool, name in (
        ("single_source", "face_table1"),
        ("multi_source", "face_table2"),
        ("loss_functions", "face_table3"),
    ):
        label = TABLES[name]
        kendall, pearson = (wide(name, statistic).drop(columns="average") for statistic in SYMBOLS)
        differ = int((kendall != pearson).to_numpy().sum())
        what = f"values, of {kendall.size}, that differ between the τ_w and the ρ block"
        note = "" if differ else "one block is a copy of the other"
        yield label, "tables", what, kendall.size, differ, differ > 0, note
        for statistic, symbol in SYMBOLS.items():
            there, here = wide(name, statistic).average["face"], ablation[pool, statistic, "face"]
            what = f"average {symbol} of FaCe, {pool.replace('_', ' ')} zoo"
            yield f"{label} against Table 4", "tables", what, there, here, there == here, ""
    for row in load("face_table5").query("metric == 'class_fairness'").itertuples():
        here = ablation["single_source", row.statistic, row.metric]
        what = f"average {SYMBOLS[row.statistic]} of class fairness alone"
        yield "FaCe Table 5 against Table 4", "tables", what, row.value, here, row.value == here, ""


def _check_marks() -> Iterator[tuple]:
    for name, label in TABLES.items():
        kinds = ("best", "second") if name.startswith("ncti") else ("second",)  # FaCe's bold is not in the text we read
        table = load(name)
        table["place"] = table.groupby(["statistic", "target"])["value"].rank(ascending=False, method="min")
        earned = table["place"].map({1: "best", 2: "second"}).where(lambda mark: mark.isin(kinds), "")
        marked, wrong = (earned != "") | (table["mark"] != ""), table[earned != table["mark"]]
        what = f"values that are, or are marked as, {' or '.join(kinds)} of their column"
        note = "; ".join(
            f"{row.target} {SYMBOLS[row.statistic]}: {row.metric} {row.value} comes {row.place:.0f}. and "
            f"is {'marked ' + row.mark if row.mark else 'not marked'}"
            for row in wrong.itertuples()
        )
        yield label, "mark", what, marked.sum(), marked.sum() - len(wrong), wrong.empty, note


def _check_ground_truth() -> Iterator[tuple]:
    from .. import ranking

    for pool in NCTI_POOLS:
        for target, accuracies in load(f"{pool}_finetuned_accuracy").items():
            tied = accuracies[accuracies.duplicated(keep=False)]
            if len(tied):
                best = ranking.weighted_kendall(accuracies.rank(method="first"), accuracies)
                what = f"largest τ_w within reach on {target}"
                note = f"{' and '.join(tied.index)} share {tied.iloc[0]} %"
                yield "NCTI accuracies", "tie", what, 1, best, False, note


def _check_static_ranking() -> Iterator[tuple]:
    table = benchmark()
    for row in table[~table["printed"]].itertuples():
        methods = table[(table["pool"] == row.pool) & table["printed"]].set_index("metric")["weighted_kendall"]
        name, highest, blind = NCTI_POOLS[row.pool], methods.max(), row.weighted_kendall
        models = "listed" if row.metric == "static_baseline_listed" else "all"
        what = f"highest mean τ_w, against a ranking blind to the target ({models} models)"
        note = (
            f"interval of the blind ranking {row.low:.2f} to {row.high:.2f}; {methods.idxmax()} is above it on "
            f"{row.wins} of {wide(name).shape[1] - 1} targets"
        )
        yield TABLES[name], "ranking", what, highest, blind, highest > blind, note


# ---- looking things up ---------------------------------------------------------------------------------------------


def _claims() -> pd.DataFrame:
    return load("claims").set_index("claim")


def _listed(name: str) -> list[str]:
    lists = load("listed")
    return list(lists[lists["list"] == name]["name"])
