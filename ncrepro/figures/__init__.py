"""Every figure by name: the tables it is drawn from, the notebook that explains it, the paper's claim, and whether it holds.

The notebooks show these figures and `draw_all` saves them, by the same functions, so that they cannot differ.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ..lab import profiles
from ..lab.experiment import BASELINES, Experiment
from ..ranking.verdicts import RULE, UNKNOWN, Verdict, above, best, every, likely, probability, some
from ..store import artifacts, fingerprint, jobs, manifest, paths, trace
from .plots import label, style


@dataclass(frozen=True)
class Entry:
    """One figure and what is said of it."""

    draw: Callable[[str], Figure]  # profile -> figure
    shows: str
    notebook: str
    claim: str = ""  # what the paper says of it
    holds: Callable[[str], tuple[str, Verdict]] | None = None  # profile -> what is found, and whether the claim holds

    @property
    def name(self) -> str:
        return self.draw.__name__


MODULES = (  # one per notebook that has figures to save
    "neural_collapse", "published", "supervised", "selfsupervised", "multi_source", "loss_functions", "segmentation", "text",
    "ablations", "low_shot", "source_features", "cost", "stability", "advice",
)  # fmt: skip
FIGURES: list[Entry] = []
FACE_METHODS = ["leep", "nce", "logme", "h_score", "gbc", "face"]  # those of FaCe's tables and figures


def figure(**said) -> Callable:
    """Enter the decorated function, profile -> figure, into the gallery; ``said`` are the other fields of `Entry`."""

    def register(draw: Callable[[str], Figure]) -> Callable[[str], Figure]:
        FIGURES.append(Entry(draw, **said))
        return draw

    return register


def everything() -> list[Entry]:
    """All entries, in the order of the notebooks."""
    for module in MODULES:
        importlib.import_module(f"{__name__}.{module}")
    return FIGURES


def of_profile(profile: str) -> list[Entry]:
    """The entries that a profile has results for: not every profile has every pool of the demo, nor every notebook."""
    chosen = profiles.load(profile)
    lacking = profiles.load("demo").pools.keys() - chosen.pools.keys()
    entries = [entry for entry in everything() if entry.notebook not in chosen.without]
    return [entry for entry in entries if entry.draw.__module__.rpartition(".")[2] not in lacking]  # modules are named after pools


def draw_all(profile: str) -> pd.DataFrame:
    """Save every figure of a profile, write the index, and return it: (figure, shows, notebook, claim, here, holds)."""
    entries = of_profile(profile)
    found = dict(jobs.side_by_side(partial(_save, profile), [entry.name for entry in entries], profiles.load(profile).workers))
    rows = [(entry.name, entry.shows, entry.notebook, entry.claim, *found[entry.name]) for entry in entries]
    index = pd.DataFrame(rows, columns=["figure", "shows", "notebook", "claim", "here", "holds"])
    artifacts.write(paths.figures(profile) / "index.csv", index.to_csv(index=False, lineterminator="\n"))
    _write_readme()
    return index


def _save(profile: str, name: str) -> tuple[str, tuple[str, str]]:
    """Draw and save the figure of that name unless it is up to date; what is found of its claim, and whether it holds."""
    style.use()
    (entry,) = (entry for entry in everything() if entry.name == name)
    record = paths.build(profile) / "figures" / f"{name}.json"
    asked = {"code": fingerprint.of(fingerprint.root(entry.draw), fingerprint.root(_draw), stops=())}
    if trace.is_on() and manifest.why_again(record, asked) is None:
        return name, tuple(manifest.load(record)["result"])
    with trace.watching() as facts:
        found = _draw(entry, profile)
    if trace.is_on():
        manifest.save(record, asked, facts, result=found)
    return name, found


def _draw(entry: Entry, profile: str) -> tuple[str, str]:
    drawn = entry.draw(profile)
    style.save(drawn, entry.name, paths.figures(profile))
    plt.close(drawn)
    here, verdict = entry.holds(profile) if entry.holds else ("", "")
    return here, str(verdict)


def as_markdown(index: pd.DataFrame, folder: str = "") -> str:
    """The index as a table; with a ``folder``, figures and notebooks become links."""
    lines = ["| figure | what it shows | notebook | the paper's claim | found here | holds? |", "|---|---|---|---|---|---|"]
    for row in index.fillna("").itertuples():
        figure = f"[{row.figure}]({folder}/{row.figure}.png)" if folder else row.figure
        notebook = f"[{row.notebook}](../notebooks/{row.notebook}.ipynb)" if folder else row.notebook
        lines.append(f"| {figure} | {row.shows} | {notebook} | {row.claim} | {row.here} | {row.holds} |")
    return "\n".join(lines)


def verdicts(figures: ModuleType, profile: str) -> str:
    """One line of Markdown for each claim that the figures of a module check: what is claimed, what is found, does it hold."""
    entries = [entry for entry in FIGURES if entry.draw.__module__ == figures.__name__ and entry.holds]
    checked = [(entry, *entry.holds(profile)) for entry in entries]
    return "\n".join(f"- **{verdict.word.capitalize()}** (`{entry.name}`): {entry.claim}. Found: {here}." for entry, here, verdict in checked)


# Figures that show the data themselves. Photographs are not ours to publish: other profiles draw them, and git ignores them.
OF_IMAGES = ("data_gallery", "loss_functions_images", "selfsupervised_views")


def _write_readme() -> None:
    """``figures/README.md``, from the index of every profile whose numbers mean something."""
    parts = ["# Figures", "Written by `90_figures`; every number in this page was computed by the run that drew the figures.", RULE]
    for path in sorted(paths.figures("").glob("*/index.csv")):
        if path.parent.name != "smoke" and "+" not in path.parent.name:  # repetitions of a profile have no page of their own
            table = pd.read_csv(path)
            shown = table if path.parent.name == "demo" else table[~table["figure"].isin(OF_IMAGES)]
            parts += [f"## Profile `{path.parent.name}`", as_markdown(shown, path.parent.name)]
    artifacts.write(paths.figures("") / "README.md", "\n\n".join(parts) + "\n")


# What the tables say --------------------------------------------------------------------------------------------------


def ranking_table(correlations: pd.DataFrame, methods: list[str], statistic: str = "weighted_kendall") -> pd.DataFrame:
    """Correlations of some rankings, metrics x targets, the average last, in the order of ``methods``."""
    order = list(dict.fromkeys(correlations["target"]))
    table = correlations.pivot(index="metric", columns="target", values=statistic)
    return table.loc[[m for m in methods if m in table.index], order]


def beside(printed: pd.DataFrame, ours: pd.DataFrame, titles: tuple[str, str, str]) -> dict[str, pd.DataFrame]:
    """Panels: what is printed, what is found here and, if the targets are the paper's own, the difference cell by cell.

    Cells that were not computed here stay empty; the average of the differences is over the others.
    """
    targets = printed.columns.drop("average")
    if not set(ours.columns) & set(targets):
        return dict(zip(titles, (printed, ours), strict=False))
    difference = (ours.reindex(columns=targets) - printed[targets]).reindex(printed.index)
    difference["average"] = difference.mean(axis=1)
    return dict(zip(titles, (printed, ours.reindex(columns=printed.columns), difference), strict=True))


def best_of(average: pd.DataFrame, metric: str, rivals: list[str], statistic: str = "weighted_kendall") -> str:
    """A metric's mean and that of the best of the others, in words."""
    value, others = average.loc[metric, statistic], average.loc[[r for r in rivals if r != metric], statistic].dropna()
    symbol = {"weighted_kendall": "τ_w", "pearson": "ρ"}[statistic]
    best_other = f"{label(others.idxmax())} {others.max():.2f}" if len(others) else "none"
    return f"mean {symbol}: {label(metric)} {value:.2f}, best of the others {best_other}"


def is_best(draws: pd.DataFrame, metric: str, rivals: list[str]) -> tuple[str, Verdict]:
    """Whether a metric ranks better than each of its rivals: `Experiment.draws`, n x metrics."""
    others = [r for r in rivals if r != metric and draws[r].notna().all()]  # what gives all models one score is no rival
    if draws[metric].isna().any() or not others:
        return f"{label(metric)} has too few models for a probability", UNKNOWN
    text = f"best in {best(draws[[metric, *others]])[metric]:.0%} of draws"
    return text, every(*(above(draws[metric], draws[other]) for other in others))


def some_better(draws: pd.DataFrame, metrics: list[str], than) -> tuple[str, Verdict]:
    """Whether one of several metrics lies above a number, or above another ranking's draws."""
    chances = pd.Series({metric: probability(draws[metric], than) for metric in metrics}, dtype=float).dropna()
    if chances.empty:
        return "too few models for a probability", UNKNOWN
    text = f"likeliest of {len(chances)}: {label(chances.idxmax())}, in {chances.max():.1%} of draws"
    return text, some(*map(likely, chances))


def better_than_static(study: Experiment) -> tuple[str, Verdict]:
    """Whether some metric ranks better than each model's mean accuracy on the other targets does."""
    draws, average = study.draws(), study.read("correlations").query("target == 'average'").set_index("metric")["weighted_kendall"]
    text, verdict = some_better(draws, [m for m in draws if m not in BASELINES], draws["static_baseline"])
    return f"static baseline {average['static_baseline']:.2f}; {text}", verdict


def above_0(row: pd.Series, draws: pd.Series) -> tuple[str, Verdict]:
    """Whether a mean weighted Kendall lies above 0: a row of `experiment.correlations`, and its draws."""
    text = f"mean τ_w {row.weighted_kendall:.2f}, interval {row.low:.2f} to {row.high:.2f}"
    return text + told_in_draws(probability(draws)), above(draws)


def told_in_draws(chance: float) -> str:
    """How often a statement is true, to go on with behind it."""
    return "; too few models for a probability" if pd.isna(chance) else f", true in {chance:.1%} of draws"
