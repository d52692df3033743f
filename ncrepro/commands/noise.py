"""``make noise``: run a profile again with other training seeds, and measure how far every number and verdict moves.

A repetition is the profile ``demo+2``: the same work, all training seeds shifted. Repetition 0 is the profile itself.
First the models of all repetitions are trained, scored and ranked; every notebook takes its intervals from these
tables. Then all notebooks of each repetition are run. This shows how far the tables and verdicts that rest on such
intervals move. Finally the profile itself is run again, since its verdicts rest on all trainings.
"""

import os
import shlex
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from ..lab import profiles, repeated_verdicts
from ..lab.experiment import Experiment
from ..ranking.verdicts import OPEN
from ..store import artifacts, paths, schema
from . import tolerances, verify

STATISTICS = ["weighted_kendall", "pearson", "spearman"]


def noise(profile: str, repetitions: int = 5, pools: list[str] | None = None, command: str | None = None) -> int:
    """Run what is missing of a profile and its repetitions, write what they show, and print the summary.

    Parameters
    ----------
    profile : str
    repetitions : int
        From 2 to 100.
    pools : list of str, optional
        Only the first step, for these pools, as for tuning a recipe; tables go to ``data/results/noise`` alone.
    command : str, optional
        What runs everything of one profile, its name in place of ``{profile}``; None takes `make all`.

    Returns
    -------
    int
        1 if a repetition failed; the others count nevertheless.
    """
    base, number = profiles.repetition_of(profile)
    if number:
        raise ValueError(f"{profile!r} is a repetition; name the profile that is repeated: {base!r}")
    schema.whole_number(2, 100)("REPETITIONS", repetitions)  # one alone does not show how far they lie apart
    chosen = [profiles.load(profile).pool(name).name for name in pools or profiles.load(profile).pools]
    written = paths.noise(profile) if pools is None else paths.results("noise", profile)
    if pools is None and _known(profile) >= repetitions and not paths.results(profiles.repetition(profile, 1)).exists():
        print(f"{_known(profile)} repetitions are in {paths.relative(written)}; remove it to measure them again")
        print(_as_text(pd.read_csv(written / "summary.csv", keep_default_na=False)))
        return 0
    names = {r: profiles.repetition(profile, r) for r in range(repetitions + 1)}
    for name in names.values():
        print(f"{name}: training, scores and rankings", flush=True)
        for pool in chosen:
            _rank(Experiment(pool, name))
    folders = {r: paths.results(name) for r, name in names.items()}
    summary = study_of_rankings(profile, chosen, folders, written)
    if pools is None:
        folders = {r: folders[r] for r, name in names.items() if _run(name, command)}
        if len(folders) < 3 or 0 not in folders:
            n = max(len(folders) - 1, 0)
            raise ValueError(f"{n} of {repetitions} repetitions of {profile!r} are finished; two or more are needed")
        print(f"{len(folders) - 1} of {repetitions} repetitions of {profile!r} are finished")
        summary = pd.concat([summary, study_of_whole_runs(profile, folders, written)])
    artifacts.write(written / "summary.csv", _as_csv(summary))
    print(_as_text(summary))
    print(f"written: {paths.relative(written)}")
    if pools is None:
        if not _run(profile, command):  # its verdicts rest on what all trainings say, which is known only now
            return 1
        print(f"the results of {profile!r} rest on it now; `make reference PROFILE={profile}` makes them the reference")
    return int(len(folders) <= repetitions)


def study_of_rankings(profile: str, pools: list[str], folders: dict[int, Path], written: Path) -> pd.DataFrame:
    """What trained, scored and ranked models of repetitions show: ``<pool>.csv`` and ``correlations.csv``, written into
    a folder, and their part of the summary (what, pool, of, value).

    Parameters
    ----------
    folders : dict repetition -> the folder of its tables
    """
    wide = {pool: pd.concat([_of_pool(profile, pool, r, folder) for r, folder in folders.items()]) for pool in pools}
    parts = [_correlations(profile, pool, r, folder) for pool in pools for r, folder in folders.items()]
    correlations = pd.concat(parts)
    for name, table in {**wide, "correlations": correlations}.items():
        artifacts.write(written / f"{name}.csv", _as_csv(table))
    return _summary(
        ("repetitions", "", "beside the reference", len(folders) - 1),
        *_accuracy_spread(wide),
        *_correlation_spread(correlations),
    )


def study_of_whole_runs(profile: str, folders: dict[int, Path], written: Path) -> pd.DataFrame:
    """What whole runs of repetitions show: writes ``verdicts.csv`` and what `tolerances.save` does into a folder, and
    returns their part of the summary.
    """
    verdicts = _verdicts(profile, folders)
    tables, runs = _tables(list(folders.values())), list(range(len(folders)))
    left_out = tolerances.leave_one_out(tables, len(runs))
    limits = tolerances.fit({table: made for table, made in tables.items() if verify.rests_on_training(table)}, runs)
    limits = replace(limits, bounds=tolerances.bounds(left_out))
    artifacts.write(written / "verdicts.csv", verdicts.to_csv(index=False, lineterminator="\n"))  # to the last digit
    tolerances.save(written, limits)
    return _summary(
        ("repetitions", "", "run whole", len(folders) - 1),
        *_changes(verdicts),
        *_false_alarms(left_out, limits.bounds),
    )


# Running --------------------------------------------------------------------------------------------------------------


def _rank(study: Experiment) -> None:
    study.pretrain()
    study.finetune()
    if not study.is_untrained:  # else there is nothing to score: all features are those of random weights
        study.extract()
        study.score()
        study.correlate()


def _run(name: str, command: str | None) -> bool:
    """Run everything of a profile, which is nothing where it is up to date; False if it failed."""
    print(f"{name}: everything", flush=True)
    words = ["make", "all", f"PROFILE={name}", f"PYTHON={sys.executable}"]
    if command:
        words = shlex.split(command.replace("{profile}", name))
    environment = os.environ | {"NCREPRO_PROFILE": name}
    for of_make in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        environment.pop(of_make, None)
    status = subprocess.run(words, cwd=paths.root(), env=environment).returncode
    if status:
        print(f"{name}: `{shlex.join(words)}` failed with exit status {status}; it is left out", file=sys.stderr)
    return status == 0


def _known(profile: str) -> int:
    """How many repetitions the committed study counts."""
    path = paths.noise(profile) / "summary.csv"
    if not path.exists():
        return 0
    return int(pd.read_csv(path).query("what == 'repetitions'")["value"].iloc[0])


# What repetitions show ------------------------------------------------------------------------------------------------


def _of_pool(profile: str, pool: str, repetition: int, folder: Path) -> pd.DataFrame:
    """(repetition, model, target, accuracy, one column per ranking)."""
    experiment = Experiment(pool, profile)
    experiment.results = folder / pool
    if (folder / pool / "scores.csv").exists():
        scores, accuracies = experiment.ranked(beside=True)
        table = scores.pivot(index=["model", "target"], columns="metric", values="score")[scores["metric"].unique()]
    else:  # models without pre-training
        accuracies = experiment.read("accuracies").groupby(["model", "target"])["accuracy"].mean().unstack("target")
        table = pd.DataFrame(index=accuracies.stack().index)
    long = accuracies.stack().rename("accuracy").rename_axis(["model", "target"])
    return _with_first(long.to_frame().join(table).reset_index(), repetition=repetition)


def _correlations(profile: str, pool: str, repetition: int, folder: Path) -> pd.DataFrame:
    """(repetition, pool, subset, target, metric, the three correlations)."""
    parts = []
    for subset in ("", *profiles.load(profile).pools[pool].subsets):
        path = folder / pool / (f"correlations_{subset}.csv" if subset else "correlations.csv")
        if path.exists():
            table = pd.read_csv(path)[["target", "metric", *STATISTICS]]
            parts.append(_with_first(table, repetition=repetition, pool=pool, subset=subset))
    return pd.concat(parts) if parts else pd.DataFrame()


def _verdicts(profile: str, folders: dict[int, Path]) -> pd.DataFrame:
    """What each training says by itself of every claim: `repeated_verdicts.COLUMNS`."""
    parts = [pd.DataFrame(columns=repeated_verdicts.COLUMNS)]
    for repetition in folders:
        path = paths.figures(profiles.repetition(profile, repetition)) / "index.csv"
        if path.exists():
            parts.append(pd.read_csv(path).assign(repetition=repetition)[repeated_verdicts.COLUMNS].dropna())
    return pd.concat(parts)


def _tables(folders: list[Path]) -> dict[str, list[tolerances.Channel]]:
    """What can be compared between the runs, table by table; an error names a table of one run that cannot be read."""
    found = {}
    for name in verify.tables_in(folders[0]):
        runs = [verify.read(folder / name) for folder in folders]
        for folder, run in zip(folders, runs, strict=True):
            if list(run) != list(runs[0]):
                raise ValueError(
                    f"{paths.relative(folder / name)} has other columns than {paths.relative(folders[0] / name)}: "
                    "it was made by other code; remove it and run `make noise` again"
                )
        found[name] = [channel for channel in tolerances.channels(runs) if (name, channel.name) not in verify.BOUNDED]
    return found


def _with_first(table: pd.DataFrame, **columns) -> pd.DataFrame:
    """A table with some more columns, which come first."""
    return table.assign(**columns)[[*columns, *table]]


# In short -------------------------------------------------------------------------------------------------------------


def _accuracy_spread(wide: dict[str, pd.DataFrame]) -> list[tuple]:
    """The standard deviation of an accuracy between repetitions, root mean square over models and targets, by pool."""
    rows = []
    for pool, table in wide.items():
        spread = table.groupby(["model", "target"])["accuracy"].var(ddof=1).mean() ** 0.5
        rows.append(("standard deviation of an accuracy", pool, "one model on one target", spread))
    return rows


def _correlation_spread(correlations: pd.DataFrame) -> list[tuple]:
    """The standard deviation between repetitions of each metric's mean weighted Kendall, and of one target's."""
    rows, what = [], "standard deviation of mean weighted Kendall"
    whole = correlations[correlations["subset"] == ""]
    for pool, group in whole.groupby("pool", sort=False):
        single, average = group[group["target"] != "average"], group[group["target"] == "average"]
        spread = single.groupby(["target", "metric"])["weighted_kendall"].var(ddof=1).mean() ** 0.5
        rows.append(("standard deviation of weighted Kendall", pool, "one target, all metrics", spread))
        of_metric = average.groupby("metric", sort=False)["weighted_kendall"].std(ddof=1)
        rows += [(what, pool, metric, value) for metric, value in of_metric.items()]
        rows.append((what, pool, "all metrics", (of_metric**2).mean() ** 0.5))
    return rows


def _changes(verdicts: pd.DataFrame) -> list[tuple]:
    """How many verdicts two runs give differently, and how many contradict each other: of one training, and of all."""
    if verdicts["repetition"].nunique() < 2:
        return []
    alone, exchanged = repeated_verdicts.single_verdicts(verdicts), repeated_verdicts.verdicts_without_each(verdicts)
    return [
        ("verdicts", "", "figures", len(alone)),
        *_differences("verdicts of one training alone", alone),
        *_differences("verdicts of all trainings, one exchanged for another", exchanged),
    ]


def _differences(what: str, words: pd.DataFrame) -> list[tuple]:
    pairs, definite_words = [(words[a], words[b]) for a, b in combinations(words, 2)], words.where(words != OPEN)
    contradicting = np.mean([((a != b) & (a != OPEN) & (b != OPEN)).mean() for a, b in pairs])
    return [
        (what, "", "share that differ between two runs", np.mean([(a != b).mean() for a, b in pairs])),
        (what, "", "share that contradict each other in two runs", contradicting),
        (what, "", "figures that ever change", (words.nunique(axis=1) > 1).sum()),
        (what, "", "figures that ever contradict", (definite_words.nunique(axis=1) > 1).sum()),
    ]


def _false_alarms(left_out: pd.DataFrame, bounds: dict[str, float]) -> list[tuple]:
    """Honest runs that `verify` would refuse: each run against limits from the other runs alone."""
    what, refused = "false alarms of verify", tolerances.refused_comparisons(left_out)
    return [
        (what, "", "repetitions refused, each left out in turn", refused[left_out["reference"] == 0].sum()),
        (what, "", "share refused, each run left out in turn, against every other", refused.mean()),
        (what, "", "share in which something moved for the first time", (left_out["impossible"] > 0).mean()),
        (what, "", "share allowed", tolerances.FALSE_ALARMS),
        *(("largest excess of a run left out", "", family, left_out[family].max()) for family in bounds),
        *(("bound of the excess", "", family, bound) for family, bound in bounds.items()),
    ]


def _summary(*rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["what", "pool", "of", "value"])


def _as_csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")


def _as_text(summary: pd.DataFrame) -> str:
    rows = summary.itertuples()
    return "\n".join(f"{row.what}, {row.pool and row.pool + ', '}{row.of}: {float(row.value):.3g}" for row in rows)
