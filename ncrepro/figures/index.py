"""Every figure by name: what it shows, the paper's claim, and what we find about it; `draw_all` saves them all.

The notebooks call the same functions, so that a notebook and a saved figure cannot differ.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ..lab import profiles, repeated_verdicts
from ..ranking.verdicts import RULE, Verdict, over
from ..store import artifacts, cold_notebooks, fingerprint, manifest, paths, trace
from . import style

NOTEBOOKS = {  # module of this package -> the notebook whose figures it holds
    "neural_collapse": "01_neural_collapse",
    "published": "03_published_numbers",
    "supervised": "20_supervised",
    "selfsupervised": "21_selfsupervised",
    "multi_source": "22_multi_source",
    "loss_functions": "23_loss_functions",
    "segmentation": "24_segmentation",
    "text": "25_text",
    "time_series": "26_time_series",
    "modalities": "27_modalities",
    "ablations": "30_ablations",
    "low_shot": "31_low_shot",
    "source_features": "32_source_features",
    "cost": "33_cost",
    "stability": "34_stability",
    "which_metric": "35_which_metric",
    "large_pools": "36_large_pools",
    "rank_your_own": "40_rank_your_own",
    "imagenet_weights": "42_imagenet_weights",
}

# Figures that show the data themselves. Photographs are not ours to publish: other profiles draw them, and git ignores
# them.
OF_IMAGES = ("data_gallery", "loss_functions_images", "selfsupervised_views")
UNPUBLISHED = ("smoke", "classroom")  # profiles whose pictures git ignores, so that no page can show them

EXCEPTIONS = """\
Written by `90_figures`. The numbers of a profile were computed by the run that drew its figures, with three exceptions:

- The numbers of `42_imagenet_weights`, and of the figures whose names begin with `hub_`, were computed once; the
  committed tables keep them.
- The numbers of papers, and what follows from them alone, are the printed ones.
- The verdicts of a profile that was trained again (`make noise`) rest on the other trainings, too."""

RESULT = ("found", "verdict", "if_false", "if_true")  # the last two are what the verdict of this run alone rests on

Checked = tuple[Figure, str, Verdict]  # a figure, what is found of its claim, and the verdict of this run


@dataclass(frozen=True)
class Entry:
    """One figure, and the words about it."""

    name: str
    module: str  # of this package
    draw: Callable[[str], "Shown"]  # profile -> what is shown
    shows: str
    claim: str  # what the paper says of it; empty where it says nothing

    @property
    def notebook(self) -> str:
        """The notebook that shows it."""
        return NOTEBOOKS[self.module]

    @property
    def drawn_by(self) -> str:
        """The file and the function, as `figures/README.md` and the notebooks say it."""
        return f"figures/{self.module}.py, {self.name}"


@dataclass(frozen=True)
class Shown(style.Described):
    """A drawn figure, and what we find about its claim; a notebook shows the finding below the figure."""

    entry: Entry
    found: str = ""
    verdict: Verdict | None = None
    alone: Verdict | None = None  # of this run alone, without the other trainings

    @property
    def caption(self) -> str:
        """What the figure shows, who draws it, and what is found of its claim."""
        drawn_by = f"{super().caption} `{self.entry.name}`, drawn by `ncrepro/{self.entry.drawn_by}`."
        return f"{drawn_by}\n\n{self.finding}" if self.entry.claim else drawn_by

    @property
    def result(self) -> tuple[str, str, float | None, float | None]:
        """What the index says of the claim: `RESULT`; empty where there is no claim."""
        if self.verdict is None:
            return "", "", None, None
        return self.found, self.verdict.word, self.alone.if_false, self.alone.if_true

    @property
    def finding(self) -> str:
        """Verdict, claim and what is found, in Markdown."""
        return f"**{self.verdict.word.capitalize()}**: {self.entry.claim}. Found: {self.found}."


_ENTRIES: dict[str, Entry] = {}
_FINDINGS: dict[str, str] = {}  # of the figures shown in this process, in the order in which they were shown


def figure(shows: str, claim: str = "") -> Callable:
    """Enter the decorated function into the index, under its own name.

    The function takes a profile's name and returns a figure or, where there is a claim, (figure, what is found,
    verdict). What is entered, and what notebooks call, returns a `Shown`.
    """

    def enter(draw: Callable) -> Callable[[str], Shown]:
        @wraps(draw)
        def show(profile: str) -> Shown:
            with trace.watching() as facts:
                output = draw(profile)
                shown = _judged(entry, profile, *output) if claim else Shown(output, shows, entry)
                if trace.is_on():  # a run keeps what it draws, so that no figure is drawn twice
                    style.save(shown.figure, entry.name, paths.figures(profile))
            if trace.is_on():
                manifest.save(*_record(entry, profile), facts, result=shown.result)
            if claim:
                _FINDINGS[entry.name] = shown.finding
            return shown

        entry = _ENTRIES[draw.__name__] = Entry(draw.__name__, draw.__module__.rpartition(".")[2], show, shows, claim)
        return show

    return enter


def _judged(entry: Entry, profile: str, figure: Figure, found: str, alone: Verdict) -> Shown:
    """The verdict of all measured trainings of the profile; the finding says if this run alone gives another."""
    verdict = over(alone, *repeated_verdicts.other_verdicts(profile, entry.name, entry.claim))
    if verdict.word != alone.word:
        found = f"{found} (this run alone: {alone})"
    return Shown(figure, entry.shows, entry, found, verdict, alone)


def findings() -> str:
    """A list in Markdown: what is found of each claim whose figure this notebook has shown."""
    return "\n".join(f"- {finding}" for finding in _FINDINGS.values())


def everything() -> list[Entry]:
    """All entries, in the order of the notebooks."""
    for module in NOTEBOOKS:
        importlib.import_module(f"ncrepro.figures.{module}")
    order = list(NOTEBOOKS)
    return sorted(_ENTRIES.values(), key=lambda entry: order.index(entry.module))


def of_profile(profile: str) -> list[Entry]:
    """The entries that a profile has results for: not every profile has every pool of the demo, nor every notebook."""
    chosen = profiles.load(profile)
    lacking = profiles.load("demo").pools.keys() - chosen.pools.keys()  # modules are named after pools
    return [e for e in everything() if e.notebook not in chosen.without and e.module not in lacking]


def draw_all(profile: str) -> pd.DataFrame:
    """Save every figure of a profile, write the index, and return it; where the profile has not run here, the committed
    index.

    Returns
    -------
    DataFrame (figure, shows, notebook, drawn_by, claim, found, verdict, if_false, if_true)
        The two numbers are of this run alone.
    """
    if cold_notebooks.is_cold(profile):
        return pd.read_csv(paths.figures(profile) / "index.csv").fillna("")
    from ..store import jobs  # here: what shows one figure does not rest on how jobs run

    entries = of_profile(profile)
    names, workers = [entry.name for entry in entries], profiles.load(profile).workers
    found = dict(jobs.side_by_side(partial(_save, profile), names, workers))
    rows = [(e.name, e.shows, e.notebook, e.drawn_by, e.claim, *found[e.name]) for e in entries]
    index = pd.DataFrame(rows, columns=["figure", "shows", "notebook", "drawn_by", "claim", *RESULT])
    artifacts.write(paths.figures(profile) / "index.csv", index.to_csv(index=False, lineterminator="\n"))
    _write_readme()
    return index


def _save(profile: str, name: str) -> tuple[str, tuple]:
    """Draw and save the figure of that name unless it is up to date; what is found of its claim, and the verdict."""
    style.use()
    everything()
    entry = _ENTRIES[name]
    record, request = _record(entry, profile)
    if manifest.why_again(record, request) is None:
        return name, tuple(manifest.load(record)["result"])
    shown = entry.draw(profile)
    if not trace.is_on():
        style.save(shown.figure, name, paths.figures(profile))
    plt.close(shown.figure)
    return name, shown.result


def _record(entry: Entry, profile: str) -> tuple[Path, dict]:
    """The file that says what a figure rests on, and the code that draws it."""
    code = fingerprint.of(fingerprint.root(entry.draw), fingerprint.root(style.save), stops=())
    return paths.build(profile) / "figures" / f"{entry.name}.json", {"code": code}


def as_markdown(index: pd.DataFrame, folder: str = "") -> str:
    """The index as a table; with a ``folder``, figures, notebooks and modules become links."""
    lines = [
        "| figure | what it shows | notebook | drawn by | the paper's claim | found here | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in index.fillna("").itertuples():
        figure, notebook, drawn_by = row.figure, row.notebook, row.drawn_by
        if folder:
            file, _, function = drawn_by.partition(", ")
            figure, notebook = f"[{figure}]({folder}/{figure}.png)", f"[{notebook}](../notebooks/{notebook}.ipynb)"
            drawn_by = f"[{file}](../ncrepro/{file}), {function}"
        cells = (figure, row.shows, notebook, drawn_by, row.claim, row.found, row.verdict)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _write_readme() -> None:
    """``figures/README.md``, from the index of every profile whose pictures are committed."""
    parts = [
        "# Figures",
        EXCEPTIONS,
        RULE,
    ]
    for path in sorted(paths.figures("").glob("*/index.csv")):
        profile = path.parent.name
        if profile not in UNPUBLISHED and "+" not in profile:  # repetitions of a profile are not on this page
            table = pd.read_csv(artifacts.plain_file(path))
            shown = table if profile == "demo" else table[~table["figure"].isin(OF_IMAGES)]
            parts += [f"## Profile `{profile}`", as_markdown(shown, profile)]
    artifacts.write(paths.figures("") / "README.md", "\n\n".join(parts) + "\n")
