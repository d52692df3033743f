"""``make noise``: run a profile again with other training seeds, and measure how far accuracies, rankings, verdicts and
every table move.

A repetition is the profile ``demo+2``: the same work, all training seeds shifted. Repetition 0 is the committed
reference.
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

from ..lab import profiles
from ..lab.experiment import Experiment
from ..ranking.verdicts import OPEN
from ..store import artifacts, paths
from . import tolerances, verify

RANKING = (
    "pretraining",
    "accuracies",
    "features",
    "scores",
    "correlations",
)  # the tables of a pool that its verbs write
STATISTICS = ["weighted_kendall", "pearson", "spearman"]


def noise(profile: str, repetitions: int = 5, pools: list[str] | None = None, command: str | None = None) -> int:
    """Run what is missing of the repetitions of a profile, write what they show, and print the summary.

    Parameters
    ----------
    profile : str
    repetitions : int
        At least 2. Those whose tables are all there are not run again.
    pools : list of str, optional
        Only train, score and rank these pools, in this process, and without the notebooks; repetition 0 is then run
        too, and the tables go to ``data/results/noise`` and not to the committed ones. For tuning a recipe.
    command : str, optional
        What runs everything of one profile, its name in place of ``{profile}``; None takes `make all`.

    Returns
    -------
    int
        1 if a repetition failed; the others count nevertheless.
    """
    if "+" in profile:
        raise ValueError(
            f"{profile!r} is a repetition; name the profile that is repeated: {profile.partition('+')[0]!r}"
        )
    if repetitions < 2:
        raise ValueError(f"repetitions is {repetitions}; two or more are needed to see how far they lie apart")
    for pool in pools or ():
        profiles.load(profile).pool(pool)
    if pools is None and not verify.tables_in(paths.reference(profile)):
        raise FileNotFoundError(
            f"there is no committed reference for profile {profile!r}; `make reference PROFILE={profile}` makes it"
        )
    written = paths.noise(profile) if pools is None else paths.results("noise", profile)
    if (
        pools is None
        and _known(profile) >= repetitions
        and not all(_is_done(profile, r) for r in range(1, repetitions + 1))
    ):
        print(f"{_known(profile)} repetitions are in {paths.relative(written)}; remove it to measure them again")
        print(_as_text(pd.read_csv(written / "summary.csv", keep_default_na=False)))
        return 0
    failed = [r for r in range(0 if pools else 1, repetitions + 1) if not _run(profile, r, pools, command)]
    folders = {} if pools else {0: paths.reference(profile)}
    folders |= {
        r: _folder(profile, r) for r in range(0 if pools else 1, repetitions + 1) if _is_done(profile, r, pools)
    }
    if len(folders) < 3 or 0 not in folders:
        raise ValueError(
            f"{max(len(folders) - 1, 0)} of {repetitions} repetitions of {profile!r} are finished; two or more are "
            "needed"
        )
    print(f"{len(folders) - 1} of {repetitions} repetitions of {profile!r} are finished")
    print(_as_text(study(profile, folders, written, pools)))
    print(f"written: {paths.relative(written)}")
    return 1 if failed else 0


def study(profile: str, folders: dict[int, Path], written: Path, pools: list[str] | None = None) -> pd.DataFrame:
    """Everything that repetitions show, written into a folder; the summary (what, pool, of, value).

    Parameters
    ----------
    folders : dict repetition -> the folder of its tables
    written : Path
        ``<pool>.csv``, ``correlations.csv``, ``verdicts.csv``, ``tolerances.csv``, ``limits.csv``, ``bounds.csv``,
        ``summary.csv``.
    pools : list of str, optional
        Only these pools, and no verdicts; None takes all.
    """
    there = [name for name in profiles.load(profile).pools if (folders[0] / name / "accuracies.csv").exists()]
    chosen = [name for name in there if pools is None or name in pools]
    wide = {pool: pd.concat([_of_pool(profile, pool, r, folder) for r, folder in folders.items()]) for pool in chosen}
    correlations = pd.concat(
        [_correlations(profile, pool, r, folder) for pool in chosen for r, folder in folders.items()]
    )
    verdicts = (
        _verdicts(profile, folders) if pools is None else pd.DataFrame(columns=["repetition", "figure", "verdict"])
    )
    tables, runs = _tables(list(folders.values()), chosen if pools else None), list(range(len(folders)))
    left_out = tolerances.leave_one_out(tables, len(runs))
    limits = tolerances.fit({table: made for table, made in tables.items() if verify.may_move(table)}, runs)
    limits = replace(limits, bounds=tolerances.bounds(left_out))
    summary = pd.DataFrame(
        [
            ("repetitions", "", "beside the reference", len(folders) - 1),
            *_accuracy_spread(wide),
            *_correlation_spread(correlations),
            *_changes(verdicts),
            *_false_alarms(left_out, limits.bounds),
        ],
        columns=["what", "pool", "of", "value"],
    )
    for name, table in {**wide, "correlations": correlations, "verdicts": verdicts, "summary": summary}.items():
        artifacts.write(written / f"{name}.csv", table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
    tolerances.save(written, limits)
    return summary


# Running --------------------------------------------------------------------------------------------------------------


def _folder(profile: str, repetition: int) -> Path:
    return paths.results(f"{profile}+{repetition}" if repetition else profile)


def _is_done(profile: str, repetition: int, pools: list[str] | None = None) -> bool:
    if pools is None:  # the index of figures is what a run writes last
        needed = verify.tables_in(paths.reference(profile))
        ended = _index(profile, repetition).exists() or not _index(profile, 0).exists()
    else:
        needed, ended = [f"{pool}/{table}.csv" for pool in pools for table in RANKING], True
    return ended and all((_folder(profile, repetition) / table).exists() for table in needed)


def _index(profile: str, repetition: int) -> Path:
    return paths.figures(f"{profile}+{repetition}" if repetition else profile) / "index.csv"


def _known(profile: str) -> int:
    """How many repetitions the committed study counts."""
    path = paths.noise(profile) / "summary.csv"
    if not path.exists():
        return 0
    return int(pd.read_csv(path).query("what == 'repetitions'")["value"].iloc[0])


def _run(profile: str, repetition: int, pools: list[str] | None, command: str | None) -> bool:
    """Run one repetition unless it is there; False if it failed."""
    name = f"{profile}+{repetition}" if repetition else profile
    if _is_done(profile, repetition, pools):
        print(f"{name}: its tables are there")
        return True
    print(f"{name}: running", flush=True)
    if pools:
        for pool in pools:
            experiment = Experiment(pool, name)
            for verb in (
                experiment.pretrain,
                experiment.finetune,
                experiment.extract,
                experiment.score,
                experiment.correlate,
            ):
                verb()
        return True
    words = (
        shlex.split(command.replace("{profile}", name))
        if command
        else ["make", "all", f"PROFILE={name}", f"PYTHON={sys.executable}"]
    )
    inherited = {
        key: value
        for key, value in os.environ.items()
        if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "NCREPRO_PROFILE")
    }
    status = subprocess.run(words, cwd=paths.root(), env=inherited | {"NCREPRO_PROFILE": name}).returncode
    if status:
        print(f"{name}: `{shlex.join(words)}` failed with exit status {status}; it is left out", file=sys.stderr)
    elif not _is_done(profile, repetition):
        missing = (
            t for t in verify.tables_in(paths.reference(profile)) if not (_folder(profile, repetition) / t).exists()
        )
        print(
            f"{name}: it has no {next(missing, 'index of figures')}, which the reference has; it is left out",
            file=sys.stderr,
        )
    return status == 0 and _is_done(profile, repetition)


# What repetitions show ------------------------------------------------------------------------------------------------


def _of_pool(profile: str, pool: str, repetition: int, folder: Path) -> pd.DataFrame:
    """(repetition, model, target, accuracy, one column per ranking)."""
    experiment = Experiment(pool, profile)
    experiment.results = folder / pool
    if (folder / pool / "scores.csv").exists():
        scores, accuracies = experiment.ranked(beside=True)
        table = scores.pivot(index=["model", "target"], columns="metric", values="score")[
            list(dict.fromkeys(scores["metric"]))
        ]
    else:  # models that nothing was pre-trained for
        accuracies = experiment.read("accuracies").groupby(["model", "target"])["accuracy"].mean().unstack("target")
        table = pd.DataFrame(index=accuracies.stack().index)
    long = accuracies.stack().rename("accuracy").rename_axis(["model", "target"])
    return long.to_frame().join(table).reset_index().assign(repetition=repetition).pipe(_first, "repetition")


def _correlations(profile: str, pool: str, repetition: int, folder: Path) -> pd.DataFrame:
    """(repetition, pool, subset, target, metric, the three correlations)."""
    parts = []
    for subset in ("", *profiles.load(profile).pools[pool].subsets):
        path = folder / pool / (f"correlations_{subset}.csv" if subset else "correlations.csv")
        if path.exists():
            parts.append(
                pd.read_csv(path)[["target", "metric", *STATISTICS]].assign(
                    repetition=repetition, pool=pool, subset=subset
                )
            )
    return pd.concat(parts).pipe(_first, "repetition", "pool", "subset") if parts else pd.DataFrame()


def _verdicts(profile: str, folders: dict[int, Path]) -> pd.DataFrame:
    """(repetition, figure, verdict) of every figure that checks a claim."""
    parts = []
    for repetition in folders:
        if _index(profile, repetition).exists():
            index = pd.read_csv(_index(profile, repetition))[["figure", "verdict"]].dropna()
            parts.append(index.assign(repetition=repetition)[["repetition", "figure", "verdict"]])
    return pd.concat(parts) if parts else pd.DataFrame(columns=["repetition", "figure", "verdict"])


def _tables(folders: list[Path], pools: list[str] | None) -> dict[str, list[tolerances.Channel]]:
    """What can be compared between the runs, table by table; an error names a table of one run that cannot be read."""
    names = [t for t in verify.tables_in(folders[0]) if pools is None or t.split("/")[0] in pools]
    found = {}
    for name in names:
        runs = [verify.read(folder / name) for folder in folders]
        for folder, run in zip(folders, runs, strict=True):
            if list(run) != list(runs[0]):
                raise ValueError(
                    f"{paths.relative(folder / name)} has other columns than {paths.relative(folders[0] / name)}: "
                    "it was made by other code; remove it and run `make noise` again"
                )
        found[name] = [channel for channel in tolerances.channels(runs) if (name, channel.name) not in verify.BOUNDED]
    return found


def _first(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    return table[[*columns, *table.columns.drop(list(columns))]]


# In short -------------------------------------------------------------------------------------------------------------


def _accuracy_spread(wide: dict[str, pd.DataFrame]) -> list[tuple]:
    """The standard deviation between repetitions of the accuracy of one model on one target, root mean square, by
    pool.
    """
    spreads = {
        pool: table.groupby(["model", "target"])["accuracy"].var(ddof=1).mean() ** 0.5 for pool, table in wide.items()
    }
    return [
        ("standard deviation of an accuracy", pool, "one model on one target", value) for pool, value in spreads.items()
    ]


def _correlation_spread(correlations: pd.DataFrame) -> list[tuple]:
    """The standard deviation between repetitions of each metric's mean weighted Kendall, and of one target's, by
    pool.
    """
    rows = []
    whole = correlations[correlations["subset"] == ""]
    for pool, group in whole.groupby("pool", sort=False):
        single, average = group[group["target"] != "average"], group[group["target"] == "average"]
        spread = single.groupby(["target", "metric"])["weighted_kendall"].var(ddof=1).mean() ** 0.5
        rows.append(("standard deviation of weighted Kendall", pool, "one target, all metrics", spread))
        of_metric = average.groupby("metric", sort=False)["weighted_kendall"].std(ddof=1)
        rows += [
            ("standard deviation of mean weighted Kendall", pool, metric, value) for metric, value in of_metric.items()
        ]
        rows.append(("standard deviation of mean weighted Kendall", pool, "all metrics", (of_metric**2).mean() ** 0.5))
    return rows


def _changes(verdicts: pd.DataFrame) -> list[tuple]:
    """How many verdicts two runs give differently, and how many contradict each other."""
    table = verdicts.pivot(index="figure", columns="repetition", values="verdict").dropna()
    if table.empty or table.shape[1] < 2:
        return []
    pairs = [(table[a], table[b]) for a, b in combinations(table, 2)]
    changed = np.mean([(a != b).mean() for a, b in pairs])
    flipped = np.mean([((a != b) & (a != OPEN) & (b != OPEN)).mean() for a, b in pairs])
    ever = (table.nunique(axis=1) > 1).sum(), table.where(table != OPEN).nunique(axis=1).gt(1).sum()
    return [
        ("verdicts", "", "figures", len(table)),
        ("verdicts", "", "share that differ between two runs", changed),
        ("verdicts", "", "share that contradict each other in two runs", flipped),
        ("verdicts", "", "figures that ever change", ever[0]),
        ("verdicts", "", "figures that ever contradict", ever[1]),
    ]


def _false_alarms(left_out: pd.DataFrame, bounds: dict[str, float]) -> list[tuple]:
    """Honest runs that `verify` would refuse: each run against limits that do not know it, from the other runs
    alone.
    """
    refused = tolerances.refused(left_out)
    return [
        (
            "false alarms of verify",
            "",
            "repetitions refused, each left out in turn",
            refused[left_out["reference"] == 0].sum(),
        ),
        ("false alarms of verify", "", "share refused, each run left out in turn, against every other", refused.mean()),
        (
            "false alarms of verify",
            "",
            "share in which something moved for the first time",
            (left_out["impossible"] > 0).mean(),
        ),
        ("false alarms of verify", "", "share allowed", tolerances.FALSE_ALARMS),
        *(("largest excess of a run left out", "", family, left_out[family].max()) for family in bounds),
        *(("bound of the excess", "", family, bound) for family, bound in bounds.items()),
    ]


def _as_text(summary: pd.DataFrame) -> str:
    lines = [
        f"{row.what}, {row.pool + ', ' if row.pool else ''}{row.of}: {float(row.value):.3g}"
        for row in summary.itertuples()
    ]
    return "\n".join(lines)
