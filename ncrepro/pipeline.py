"""What ``make`` calls: look before leaping, run one notebook, compare with the reference.

``python -m ncrepro.pipeline check | rules | run | rank | verify``; every failure is one clear line and a non-zero exit.
"""

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path

from . import artifacts, by_hand, paths, profiles
from .commands import workflow
from .commands.run import NotebookFailed, end_on_sigterm, run, run_notebook


def main(argv: list[str] | None = None) -> int:
    parser = _Parser(prog="python -m ncrepro.pipeline", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check", help="is this profile known, is there room, can results be written?")
    rules = commands.add_parser("rules", help="write what has to run as rules of a Makefile")
    rules.add_argument("file", type=Path)
    runs = commands.add_parser("run", help="make one run (20_supervised, 10_train_pool--text) unless it is up to date")
    runs.add_argument("name")
    yours = commands.add_parser("rank", help="rank models on data of one's own")
    for name, kind in OF_RANK.items():
        yours.add_argument(f"--{name}", type=kind)
    yours.add_argument("--out")
    commands.add_parser("verify", help="compare the results with the committed reference")
    arguments = parser.parse_args(argv)
    end_on_sigterm()
    try:
        profile = profiles.load()
        if arguments.command == "check":
            check(profile)
        elif arguments.command == "run":
            run(arguments.name, profile)
        elif arguments.command == "rules":
            write_rules(arguments.file, profile)
        elif arguments.command == "rank":
            rank({name: getattr(arguments, name) for name in OF_RANK if getattr(arguments, name) is not None}, arguments.out)
        else:
            return verify(profile.name)
    except (ValueError, OSError, NotebookFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str):
        self.exit(2, f"error: {message}\n")


# Before the work ------------------------------------------------------------------------------------------------------


def check(profile: profiles.Profile) -> None:
    """Raise an error for whatever would stop a run later on.

    That is: a folder that cannot be written, a disk too full, a pool that names what its task does not know, absent data.
    """
    for folder in (paths.cache(profile.name), paths.results(profile.name), paths.figures(profile.name)):
        try:
            artifacts.write(folder / ".writable", b"")
            (folder / ".writable").unlink()
        except OSError as error:
            raise OSError(f"{paths.relative(folder)} cannot be written: {error.strerror}") from None
    free_gb = shutil.disk_usage(paths.root()).free / 1e9
    if free_gb < profile.disk_gb:
        raise OSError(f"profile {profile.name!r} needs {profile.disk_gb} GB of disk, {free_gb:.1f} GB are free")
    from .experiment import Experiment  # loads torch, which only this and the run of a notebook need

    for pool in profile.pools:
        try:
            Experiment(pool, profile.name)
        except ValueError as error:
            raise ValueError(f"{profile.name.partition('+')[0]}.yaml: pools.{pool}: {error}") from None
    if needed := by_hand.of(profile):
        from . import catalogue  # takes seconds to import, and only such profiles need it

        if absent := [name for name in needed if not catalogue.is_there(name)]:
            raise FileNotFoundError(
                f"profile {profile.name!r} needs data that cannot be downloaded for you: {', '.join(absent)}; "
                f"`make data PROFILE={profile.name}` says what to put where"
            )


def write_rules(file: Path, profile: profiles.Profile) -> None:
    """Write `workflow.rules`, if they are not what the file says: make reads a file again that changed."""
    rules = workflow.rules(profile)
    if not file.exists() or file.read_text(encoding="utf-8") != rules:
        artifacts.write(file, rules)


# A ranking on one's own data ------------------------------------------------------------------------------------------

# The parameters of 41_rank that can be given to make, and what they are.
OF_RANK = {name: str for name in ("images", "text", "features", "models", "metrics", "text_column", "label_column", "on_error")} | {
    "max_per_class": int, "batch_size": int, "n_bootstrap": int,
}  # fmt: skip


def rank(parameters: dict[str, str | int], out: str | Path | None = None) -> None:
    """Execute 41_rank on data of one's own: notebook and table into ``out`` or ``data/results/rank/NAME``, and the figure.

    Paths are those of the folder that this is called in. NAME is that of the data, and a digest of where they lie.

    Raises
    ------
    ValueError
        If not exactly one of ``images``, ``text`` and ``features`` is given, or something is given empty.
    NotebookFailed
        If it cannot be done: the message says why.
    """
    for name, value in (parameters | {"out": out}).items():
        if value is not None and not str(value).strip():
            raise ValueError(f"{name.upper()} is empty; give it a value, or leave it out")
    lists = {name: listed(name, parameters[name]) for name in ("features", "models") if name in parameters}
    parameters = parameters | {name: value[0] if name == "features" and len(value) == 1 else value for name, value in lists.items()}
    data = [parameters[kind] for kind in ("images", "text", "features") if kind in parameters]
    if len(data) != 1:
        raise ValueError(f"{len(data)} data sets are named; name one: make rank IMAGES=folder MODELS='resnet50 ...', TEXT=file.csv "
                         "MODELS='bert-base-uncased ...', or FEATURES='one.npz two.npz'")
    results, figures = (out, out) if out else (paths.results("rank", _name_of(data[0])), paths.figures("rank"))
    places = {"results": str(Path(results).resolve()), "figures": str(Path(figures).resolve())}
    run_notebook(paths.root() / "notebooks" / "41_rank.ipynb", Path(results).resolve() / "rank.ipynb", parameters | places, Path.cwd())
    print(f"written: {paths.relative(results)}/ranking.csv, rank.ipynb; {paths.relative(figures)}/{Path(results).resolve().name}.png, .pdf")


def listed(name: str, value: str) -> list[str]:
    """The names and paths of a list: one that exists as it is, or several, parted by blanks and quoted as in a shell."""
    if os.path.exists(value):  # unlike Path.exists, also of what is too long to be a path
        return [value]
    try:
        return shlex.split(value)
    except ValueError:
        raise ValueError(f"{name.upper()} is {value}: a quote in it does not end; put a path with a blank or a quote into quotes, as in "
                         f"{name.upper()}=\"'my files/one' 'my files/two'\"") from None


def _name_of(data: str | list[str]) -> str:
    """A name for the results on these data, which others of the same name elsewhere do not have."""
    places = [Path(place).expanduser().resolve() for place in ([data] if isinstance(data, str) else data)]
    name = places[0].name if places[0].is_dir() else places[0].stem
    return f"{name[:60]}-{artifacts.digest(list(map(str, places)))[:6]}"


# After the work -------------------------------------------------------------------------------------------------------

# How far a number may lie from the committed one. Training on another CPU, or with another thread count, takes another
# path through the same arithmetic, so accuracies move about as much as between two seeds, and rankings with them.
TOLERANCES = {
    "accuracies": {"accuracy": 12.0},  # per cent, one fine-tuning
    "pretraining": {"source_accuracy": 8.0, "n_parameters": 0, "n_features": 0},
    "correlations": {"weighted_kendall": 0.45, "pearson": 0.45, "spearman": 0.45},
}


def verify(profile: str) -> int:
    import pandas as pd
    """Compare every committed table with this machine's; print each number that moved too far. 0 if none did."""
    references = sorted(paths.reference(profile).rglob("*.csv"))
    if not references:
        raise FileNotFoundError(f"there is no committed reference for profile {profile!r}")
    moved = compared = 0
    for reference in references:
        table = reference.relative_to(paths.reference(profile))
        mine = paths.results(profile) / table
        if not mine.exists():
            raise FileNotFoundError(f"{paths.relative(mine)} is missing: run `make all PROFILE={profile}` first")
        tolerances = TOLERANCES.get(reference.stem.split("_")[0], {})
        for line, n in _compare(pd.read_csv(reference), pd.read_csv(mine), tolerances, str(table)):
            compared += n
            if line:
                moved += 1
                print(line)
    print(f"{compared} numbers compared with data/reference/{profile}: {moved} moved beyond tolerance")
    return 1 if moved else 0


def _compare(reference, mine, tolerances: dict[str, float], table: str):
    import pandas as pd

    keys = [column for column in reference.columns if not pd.api.types.is_float_dtype(reference[column]) and column not in tolerances]
    if list(reference.columns) != list(mine.columns) or not reference[keys].equals(mine[keys]):
        yield f"{table}: the rows or columns are not those of the reference", 0
        return
    for column, tolerance in tolerances.items():
        distance = (reference[column] - mine[column]).abs()
        yield None, len(distance)
        neither = reference[column].isna() & mine[column].isna()  # what has no source has no accuracy on it
        for i in distance.index[~((distance <= tolerance) | neither)]:
            key = ", ".join(str(reference.at[i, k]) for k in keys)
            yield f"{table}: {column} of {key} is {mine.at[i, column]:.4g}, was {reference.at[i, column]:.4g} (tolerance {tolerance:g})", 0


if __name__ == "__main__":
    sys.exit(main())
