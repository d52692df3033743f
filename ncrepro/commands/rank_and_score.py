"""``ncrepro rank`` and ``ncrepro score``: what is typed -> a ranking or scores -> the terminal and files."""

import argparse
import os
import re
import shlex
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from ..metrics import Samples, registry, scores
from ..rank_your_own import tables
from ..rank_your_own.given_features import are_features, open_features
from ..store import artifacts, paths
from ..store.schema import refuse_unknown
from . import report, variables
from .run import run_notebook

FORMATS = ("json", "csv", "html")
OF_A_FILE = (registry.FEATURES, registry.SOURCE_PROBS, registry.SOURCE_LABELS)  # what metrics need and a file may hold


def add_options(parser: argparse.ArgumentParser, command: str) -> None:
    """Add the options of ``rank`` or ``score`` to its parser."""
    option = parser.add_argument
    if command == "rank":
        option("data", nargs="*", metavar="DATA",
               help="a folder of images, a .csv or .jsonl of texts, or .npz files of features")  # fmt: skip
        option("--models", nargs="+", metavar="MODEL",
               help="names (of torchvision, timm/..., Hugging Face) or weights")  # fmt: skip
    else:
        option("data", nargs="+", metavar="FILE", help=".npz files, or a folder of them")
    option("--metrics", nargs="+", metavar="METRIC", help=f"of {', '.join(registry.METRICS)}")
    option("--labels", metavar="FILE", help="a .csv or .jsonl with the labels of features that hold none")
    _option(parser, "label_column", metavar="NAME", help="the column of labels (default: label)")
    _option(parser, "max_per_class", type=int, metavar="N", help="use at most N samples of each class")
    option("--seed", type=int, metavar="N", help="draws these samples, and the resamples (default: 0)")
    option("--json", nargs="?", const="-", metavar="FILE", help="write JSON, to standard output without FILE")
    option("--csv", nargs="?", const="-", metavar="FILE", help="write CSV, to standard output without FILE")
    if command != "rank":
        return
    option("--html", nargs="?", const="-", metavar="FILE", help="write one page with figure, evidence and cautions")
    _option(parser, "text_column", metavar="NAME", help="the column of texts (default: text)")
    _option(parser, "batch_size", type=int, metavar="N", help="samples in one forward pass")
    option("--device", choices=("cuda", "mps", "cpu"), help="default: the first of these that is available")
    _option(parser, "n_bootstrap", type=int, metavar="N", help="resamples for the intervals; 0 for none (default: 50)")
    _option(parser, "on_error", metavar="raise|skip", help="what to do with an image that cannot be read")
    option("--quiet", action="store_true", help="show no progress")
    option("--notebook", action="store_true", help="in a checkout: execute 41_rank, with its figure; so does make rank")
    option("--out", metavar="FOLDER", help="with --notebook: where to write; default data/results/rank/NAME")
    for name, kind in (("images", None), ("text", None), ("features", 1)):  # as make names DATA
        option(f"--{name}", nargs=kind, help=argparse.SUPPRESS)


def _option(parser: argparse.ArgumentParser, name: str, **keywords) -> None:
    """An option of several words, spelt with dashes as usual, or with underscores as in Python and from make."""
    parser.add_argument(f"--{name.replace('_', '-')}", dest=name, **keywords)
    parser.add_argument(f"--{name}", dest=name, **keywords | {"help": argparse.SUPPRESS, "default": argparse.SUPPRESS})


def rank(arguments: argparse.Namespace) -> None:
    """Rank models on the data that were named, and print or write the table.

    Raises
    ------
    ValueError
        If not exactly one data set is named, something is given empty, or what is given cannot be ranked.
    OSError
        If weights are missing and cannot be downloaded.
    NotebookFailed
        If 41_rank cannot be executed.
    """
    given = _given(arguments)
    data = _data(given)
    if arguments.notebook or "out" in given:
        if not arguments.notebook:
            raise ValueError("--out is for the notebook, its table and its figure: add --notebook, or name a --csv")
        table = _by_notebook(given, data)
    else:
        from ..rank_your_own.rank import rank  # loads torch

        as_given = ("metrics", "models", "max_per_class", "batch_size", "device", "on_error", "n_bootstrap", "seed")
        options = {name: given[name] for name in as_given if name in given}
        options |= {kind: given[f"{kind}_column"] for kind in ("text", "label") if f"{kind}_column" in given}
        table = rank(data, labels=_labels(given), progress=not arguments.quiet and "bars", **options)
    title = f"Which model to fine-tune on {'these data' if isinstance(data, list) else _name_of(data)}?"
    _put(arguments, lambda: report.show(table, sys.stdout), json=lambda: report.as_json(table),
         csv=lambda: report.as_csv(table),
         html=lambda: report.as_html(table, title, ["ncrepro", *sys.argv[1:]]))  # fmt: skip


def score(arguments: argparse.Namespace) -> None:
    """Score features that were taken elsewhere, each metric and each of its terms, and print or write the scores.

    Raises
    ------
    ValueError
        If there are no such files, no labels, a metric needs what the files do not hold, or a score is no number.
    """
    given = _given(arguments)
    files = [Path(file) for file in given["data"]]
    options = {"max_per_class": given.get("max_per_class"), "seed": given.get("seed", 0)}
    pool = open_features(files[0] if len(files) == 1 else files, _labels(given), **options)
    found = {}
    for model in pool:
        held = {registry.FEATURES} if model.source_probs is None else set(OF_A_FILE)
        able = [name for name, metric in registry.METRICS.items() if metric.needs in held]
        metrics = given.get("metrics", able)
        for metric in metrics:
            if metric not in able:
                of_a_file = registry.METRICS[metric].needs in OF_A_FILE
                needed = "source_probs" if of_a_file else "labelled samples of the source"
                raise ValueError(f"{metric} needs {needed}, which the file of {model.name} does not hold")
        found[model.name] = {}
        try:
            with warnings.catch_warnings(record=True, action="always", category=UserWarning) as caught:
                samples = Samples(model.features, model.labels)
                values = {name: scores.score(name, samples, model.labels, model.source_probs) for name in metrics}
        except ValueError as error:
            raise ValueError(f"{model.name}: {error}") from None
        for warning in caught:
            print(f"caution: {model.name}: {warning.message}", file=sys.stderr)
        for metric, value in values.items():
            scores.check_finite(model.name, [metric], np.atleast_1d(value))
            found[model.name] |= registry.flat(metric, value)
    table = pd.DataFrame(found)  # terms x models
    _put(arguments, lambda: report.show_scores(table, sys.stdout),
         json=lambda: report.scores_as_json(table),
         csv=lambda: report.as_csv(table.T.rename_axis("model").reset_index()))  # fmt: skip


# What was typed -------------------------------------------------------------------------------------------------------


def _given(arguments: argparse.Namespace) -> dict:
    """The options that were given, lists as lists; each metric is one that there is."""
    given = {name: x for name, x in vars(arguments).items() if x is not None and x is not False and x != []}
    for name, value in given.items():
        if not str(value if isinstance(value, (str, int)) else " ".join(value)).strip():
            raise ValueError(f"{name.upper()} is empty; give it a value, or leave it out")
    for name in ("features", "models", "metrics"):
        if name in given:
            given[name] = names_in(name, given[name])
    for metric in given.get("metrics", ()):
        refuse_unknown("metric", metric, registry.METRICS)
    for name in FORMATS:
        if name in given and Path(given[name]).expanduser().is_dir():
            raise ValueError(f"--{name} is {given[name]}, which is a folder; name a file, or - for standard output")
    _check_places({name: given[name] for name in FORMATS if given.get(name, report.STDOUT) != report.STDOUT}, given)
    if [given.get(name) for name in FORMATS].count(report.STDOUT) > 1:
        raise ValueError("standard output takes one of --json, --csv and --html; name files for the others")
    return given


def _check_places(places: dict[str, str], given: dict) -> None:
    """Refuse to write over what is read or over features (after --json, but meant as data), or twice in one file."""
    words = [word for kind in ("data", "features") for word in given.get(kind, [])]
    words += [given[kind] for kind in ("images", "text", "labels") if kind in given]
    words += [re.split("[=:]", word)[-1] for word in given.get("models", [])]  # as in mine=resnet50:weights.pth
    read = {os.path.realpath(os.path.expanduser(word)) for word in words}
    written: dict[str, str] = {}
    for name, place in places.items():
        path = os.path.realpath(os.path.expanduser(place))
        if path in read or path.lower().endswith(".npz"):
            raise ValueError(
                f"--{name} is {place}, which is a file to read: name another file, or - for standard output"
            )
        if path in written:
            raise ValueError(f"--{written[path]} and --{name} are both {place}: name two files")
        written[path] = name


def _data(given: dict) -> str | list[str]:
    """The one data set that is named, as a path or several paths of features."""
    named = [given[kind] for kind in ("data", "images", "text", "features") if kind in given]
    if len(named) != 1:
        how = "ncrepro rank photos/ --models resnet50 mobilenet_v3_large; it stands before the options"
        if "notebook" in given:
            how = "make rank IMAGES=folder MODELS='resnet50 ...', TEXT=file.csv MODELS='bert-base-uncased ...', or "
            how += "FEATURES='one.npz two.npz'"
        raise ValueError(f"{len(named)} data sets are named; name one: {how}")
    (data,) = named
    if isinstance(data, str):
        return data
    if len(data) > 1 and not all(file.lower().endswith(".npz") for file in data):
        raise ValueError(f"{len(data)} data sets are named ({', '.join(data)}); only .npz files are ranked together")
    return data[0] if len(data) == 1 else data


def names_in(name: str, words: list[str]) -> list[str]:
    """The names and paths of a list. A single word may be one existing path, or hold several names, separated by blanks
    and quoted as in a shell, as they come from make.
    """
    if len(words) > 1 or os.path.exists(words[0]):  # unlike Path.exists, also of what is too long to be a path
        return words
    try:
        return shlex.split(words[0])
    except ValueError:
        raise ValueError(
            f"{name.upper()} is {words[0]}: a quote in it does not end; put a path with a blank or a quote into "
            f"quotes, as in {name.upper()}=\"'my files/one' 'my files/two'\""
        ) from None


def _labels(given: dict) -> list | None:
    """The labels in a table beside the features."""
    if "labels" not in given:
        return None
    return tables.labels(Path(given["labels"]).expanduser(), given.get("label_column", "label"))


# What is made of it ---------------------------------------------------------------------------------------------------


def _put(arguments: argparse.Namespace, show, **formats) -> None:
    """Write each format that was asked for; print the table unless one of them goes to standard output."""
    places = {name: getattr(arguments, name, None) for name in formats}
    for name, place in places.items():
        if place:
            report.write_or_print(formats[name](), place)
    if report.STDOUT not in places.values():
        show()
        if written := [place for place in places.values() if place]:
            print(f"written: {', '.join(written)}")


def _by_notebook(given: dict, data: str | list[str]) -> pd.DataFrame:
    """Execute 41_rank on the data: notebook and tables into ``out`` or ``data/results/rank/NAME``, and the figure.

    Paths are those of the folder that this is called in. NAME is the name of the data and a digest of their path.
    """
    for name in ("labels", "device", "seed"):
        if name in given:
            raise ValueError(f"--{name} is not among the parameters of 41_rank: leave out --notebook")
    parameters = {name: given[name] for name in variables.OF_RANK if name in given}
    if "data" in given:
        parameters[_kind_of(data)] = data
    elif "features" in parameters:
        parameters["features"] = data
    if "metrics" in parameters:
        parameters["metrics"] = " ".join(parameters["metrics"])
    results = Path(given.get("out") or paths.results("rank", _name_of(data, with_digest=True))).resolve()
    figures = results if "out" in given else paths.figures("rank").resolve()
    parameters |= {"results": str(results), "figures": str(figures)}
    run_notebook(paths.notebooks() / "41_rank.ipynb", results / "rank.ipynb", parameters, Path.cwd())
    print(f"written: {paths.relative(results)}/ranking.csv, rank.ipynb; "
          f"{paths.relative(figures)}/{results.name}.png, .pdf")  # fmt: skip
    return report.from_json((results / "ranking.json").read_text(encoding="utf-8"))


def _kind_of(data: str | list[str]) -> str:
    if are_features(data):
        return "features"
    return "text" if Path(data).suffix.lower() in tables.SUFFIXES else "images"


def _name_of(data: str | list[str], with_digest: bool = False) -> str:
    """A name for these data; with a digest of their path, so that other data of the same name get another one."""
    places = [Path(place).expanduser().resolve() for place in ([data] if isinstance(data, str) else data)]
    name = (places[0].name if places[0].is_dir() else places[0].stem)[:60]
    return f"{name}-{artifacts.digest(list(map(str, places)))[:6]}" if with_digest else name
