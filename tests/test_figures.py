"""The register of figures, and what every figure must be."""

import ast
import base64
import html
import re

import matplotlib
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY
from matplotlib import pyplot as plt

from ncrepro.figures import charts, findings, index, style
from ncrepro.lab import repeated_verdicts
from ncrepro.ranking import verdicts
from ncrepro.store import paths

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def test_every_figure_says_what_it_shows_and_who_draws_it():
    entries = index.everything()
    assert len(entries) == len({entry.name for entry in entries}) > 50
    for entry in entries:
        file, _, function = entry.drawn_by.partition(", ")
        assert entry.shows and f"def {function}(profile: str)" in (REPOSITORY / "ncrepro" / file).read_text()


def test_git_ignores_the_figures_that_show_photographs_and_no_others():
    ignored = [
        line for line in (REPOSITORY / ".gitignore").read_text().splitlines() if line.startswith("figures/photos")
    ]
    assert ignored == [f"figures/photos*/{name}.*" for name in sorted(index.OF_IMAGES)]
    lines = (REPOSITORY / ".gitignore").read_text().splitlines()
    assert [f"figures/{name}/" in lines or f"figures/{name}/*" in lines for name in index.UNPUBLISHED] == [True] * 2
    assert set(index.OF_IMAGES) <= {entry.name for entry in index.everything()}


def test_a_saved_figure_has_the_same_bytes_every_time(tmp_path):
    def draw(folder):
        figure, ax = plt.subplots()
        ax.plot([1, 2, 3])
        return [path.read_bytes() for path in style.save(figure, "it", tmp_path / folder)]

    assert draw("first") == draw("second")


def test_a_notebook_shows_a_figure_with_words_for_those_who_do_not_see_it(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, **options: shown.append((data, options)))
    figure, _ = plt.subplots()
    style.Described(figure, 'two lines that "cross"')._ipython_display_()
    (picture, options), (words, _) = shown
    found = re.fullmatch('<img alt="([^"]*)" src="data:image/png;base64,([^"]*)">', picture["text/html"])
    assert html.unescape(found[1]) == 'two lines that "cross"' and options == {"raw": True}
    assert base64.b64decode(found[2]).startswith(b"\x89PNG")
    assert words.data == '*Figure: two lines that "cross".*'
    assert not plt.get_fignums()  # or the notebook would show it a second time


def test_the_table_of_rankings_keeps_the_requested_order():
    table = pd.DataFrame(
        {"target": ["t", "t", "average", "average"], "metric": ["b", "a"] * 2, "weighted_kendall": [1.0, 2, 3, 4]}
    )
    found = findings.ranking_table(table, ["a", "c", "b"])
    assert found.index.tolist() == ["a", "b"] and found.columns.tolist() == ["t", "average"]
    assert found.loc["a", "average"] == 4.0


def test_the_best_of_the_others_is_the_one_with_the_highest_average():
    average = pd.DataFrame({"weighted_kendall": [0.5, 0.7, 0.6]}, index=["ncti", "logme", "gbc"])
    assert (
        findings.best_of(average, "logme", ["ncti", "logme", "gbc"])
        == "mean τ_w: LogME 0.70, best of the others GBC 0.60"
    )


def test_the_best_is_the_one_that_is_above_each_of_the_others_in_the_same_draws():
    common = np.random.default_rng(0).normal(size=2000)
    draws = pd.DataFrame({"ncti": common + 0.1, "logme": common, "gbc": common[::-1], "flat": np.nan})
    text, verdict = findings.is_best(draws[["ncti", "logme", "flat"]], "ncti", ["ncti", "logme", "flat"])
    assert verdict.word == "holds" and text == "best in 100% of draws"
    assert findings.is_best(draws, "logme", ["ncti", "logme"])[1].word == "does not hold"
    assert findings.is_best(draws, "ncti", ["ncti", "logme", "gbc"])[1].word == "cannot be told here"
    assert findings.is_best(draws, "flat", ["ncti", "flat"])[1].word == "cannot be told here"


def test_some_ranking_is_better_if_one_is_beyond_the_luck_of_many():
    draws = pd.DataFrame(np.random.default_rng(0).normal(size=(2000, 10)), columns=[*"abcdefghij"])
    draws["a"] += 2  # above 0 in 97.7 % of the draws: sure of one, not of the luckiest of ten
    assert findings.any_above(draws, ["a"], 0.0)[1].word == "holds"
    text, verdict = findings.any_above(draws, list(draws), 0.0)
    assert verdict.word == "cannot be told here" and text.startswith("most likely of 10: a, in 97.")
    assert findings.any_above(draws - 9, list(draws), 0.0)[1].word == "does not hold"


# What may call itself exact, because nothing of it could have been otherwise by chance.
EXACT = {
    "_adds_up": "printed numbers",
    "_truths_hold": "published scores",
    "_face_fig3_holds": "built feature spaces",
    "_perfect": "equal scores",
    "_scale_matters": "the same features, scaled",
}


def test_no_verdict_rests_on_a_comparison_of_two_noisy_numbers():
    """Claims return what `ncrepro.ranking.verdicts` makes of draws; ``Verdict`` is built nowhere else, ``exact`` only
    where it may be.
    """
    for path in sorted((REPOSITORY / "ncrepro" / "figures").glob("*.py")):
        for function in [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]:
            calls = {
                node.func.id: node
                for node in ast.walk(function)
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            }
            assert (
                "Verdict" not in calls and "likely" not in calls or function.name in ("some_better", "_fidelity_holds")
            ), f"{path.name}: {function.name}"
            if "exact" in calls:
                assert calls["exact"].args[1].value.startswith(EXACT[function.name]), f"{path.name}: {function.name}"


def test_the_rule_stands_above_the_index_and_verdicts_in_it(root):
    folder = paths.figures("demo")
    folder.mkdir(parents=True)
    columns = ["figure", "shows", "notebook", "drawn_by", "claim", *index.RESULT[:2]]
    pd.DataFrame([("f", "s", "n", "figures/x.py, f", "c", "found", "cannot be told here")], columns=columns).to_csv(
        folder / "index.csv", index=False
    )
    index._write_readme()
    text = paths.figures("").joinpath("README.md").read_text()
    assert verdicts.RULE in text and "| found | cannot be told here |" in text


def test_a_verdict_rests_on_all_measured_trainings_and_this_run_is_one_of_them(root):
    folder = paths.noise("demo")
    folder.mkdir(parents=True)
    rows = [(0, "f", 0.3), (1, "f", 0.99), (2, "f", 0.98), (1, "g", 0.01)]
    measured = [(run, name, f"claim of {name}", 1 - p, p) for run, name, p in rows]
    pd.DataFrame(measured, columns=repeated_verdicts.COLUMNS).to_csv(folder / "verdicts.csv", index=False)

    def shown(profile, claim, true, name="f"):
        entry = index.Entry(name, "stability", None, "shows", claim)
        return index._judged(entry, profile, plt.figure(), "found", verdicts.likely(true))

    this = shown("demo", "claim of f", 0.93)  # the run is in place of what was measured of it
    assert this.verdict.word == "holds" and this.verdict.if_true == pytest.approx((0.93 + 0.99 + 0.98) / 3)
    assert this.found == "found (this run alone: cannot be told here)" in this.caption
    assert dict(zip(index.RESULT, this.result, strict=True)) == {
        "found": this.found, "verdict": "holds", "if_false": pytest.approx(0.07), "if_true": 0.93
    }  # fmt: skip
    assert shown("demo", "claim of f", 0.96).found == "found"
    assert shown("demo+1", "claim of f", 0.99).verdict.if_true == pytest.approx((0.99 + 0.3 + 0.98) / 3)
    assert shown("demo", "another claim", 0.93).verdict.if_true == 0.93  # nobody has measured it
    assert shown("demo", "claim of g", 0.99, "g").verdict.word == "cannot be told here"
    assert shown("photos", "claim of f", 0.93).verdict.if_true == 0.93


def test_a_figure_without_a_claim_has_no_verdict(root):
    entry = index.Entry("f", "stability", None, "shows", "")
    assert index.Shown(plt.figure(), "shows", entry).result == ("", "", None, None)


def test_a_scatter_plots_every_model_of_every_target_where_it_belongs():
    table = pd.DataFrame(
        {"model": ["a1", "b1"] * 2, "target": ["t", "t", "u", "u"], "score": [1.0, 2, 3, 5], "accuracy": [9.0, 8, 7, 6]}
    )
    correlations = pd.DataFrame({"target": ["t", "u"], "weighted_kendall": [-1.0, -1.0], "spearman": [-1.0, -1.0]})
    figure = charts.score_scatter(table, correlations, "NCTI", "title")
    for ax, target in zip(figure.axes, ["t", "u"], strict=True):
        points = sorted(tuple(line.get_xydata()[0]) for line in ax.lines if len(line.get_xydata()) == 1)
        assert points == sorted(map(tuple, table.loc[table["target"] == target, ["score", "accuracy"]].to_numpy()))
        assert target in ax.get_title()


def test_an_interval_plot_draws_the_numbers_of_its_table():
    table = pd.DataFrame(
        {"metric": ["ncti", "static_baseline"], "weighted_kendall": [0.2, 0.6], "low": [0.0, 0.4], "high": [0.5, 0.8]}
    )
    ax = charts.interval_plot(table, 0.9, "title", "95 % of draws of other models only").axes[0]
    points = {tuple(xy) for line in ax.lines if line.get_marker() in "oD" for xy in line.get_xydata()}
    assert points == {(0.2, 0.0), (0.6, 1.0)}
    assert [text.get_text() for text in ax.get_yticklabels()] == ["NCTI", "static baseline"]
    assert ax.get_xlabel().replace("\n", " ").endswith("lines: 95 % of draws of other models only")


def test_where_the_targets_are_the_papers_own_the_difference_is_shown_cell_by_cell():
    printed = pd.DataFrame({"pets": [0.5, 0.6], "cub": [0.1, 0.2], "average": [0.3, 0.4]}, index=["ncti", "leep"])
    ours = pd.DataFrame({"pets": [0.75], "average": [0.75]}, index=["ncti"])
    panels = findings.comparison_panels(printed, ours, ("printed", "here", "difference"))
    assert panels["difference"].loc["ncti", ["pets", "average"]].tolist() == pytest.approx([0.75 - 0.5] * 2)
    assert (
        panels["difference"].isna().sum().sum() == 1 + 3 and panels["here"].columns.tolist() == printed.columns.tolist()
    )
    elsewhere = ours.rename(columns={"pets": "digits"})
    assert list(findings.comparison_panels(printed, elsewhere, ("printed", "here", "difference"))) == [
        "printed",
        "here",
    ]


def test_figures_of_pools_that_a_profile_lacks_are_left_out(root):
    folder = root / "notebooks" / "profiles"
    smoke = yaml.safe_load((folder / "smoke.yaml").read_text())
    smoke |= {"pools": {"supervised": smoke["pools"]["supervised"]}, "without": ["01_neural_collapse"]}
    (folder / "one.yaml").write_text(yaml.safe_dump(smoke))
    left = {entry.name for entry in index.of_profile("one")}
    assert {"ncti_table1", "data_gallery"} <= left and not left & {"face_table2", "face_fig2"}
    assert {"face_table2", "face_fig2"} <= {entry.name for entry in index.of_profile("smoke")}
