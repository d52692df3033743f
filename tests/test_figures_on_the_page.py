"""Every figure that the committed tables allow, as a reader meets it: no text is cut off, too small, or written over
another.
"""

import shutil

import matplotlib
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from matplotlib import pyplot as plt
from matplotlib.text import Text
from test_verdicts import WORDS

from ncrepro.extraction.samples import Images
from ncrepro.figures import (
    charts,
    data_examples,
    feature_spaces,
    index,
    multi_source,
    rank_your_own,
    small_pools,
    stability,
    style,
)

matplotlib.use("agg")

SMALLEST = 6.5  # points
# What needs images, texts, or times of this machine, none of which is committed.
NOT_FROM_TABLES = {
    "data_gallery",
    "selfsupervised_views",
    "loss_functions_images",
    "segmentation_scenes",
    "text_examples",
    "time_series_examples",
    "modalities_examples",
    "ncti_fig4",
}


@pytest.fixture(autouse=True)
def _look():
    with plt.rc_context():
        style.use()
        yield
    plt.close("all")


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """The demo's committed tables as its results."""
    shutil.copytree(REPOSITORY / "notebooks" / "profiles", tmp_path / "notebooks" / "profiles")
    shutil.copytree(REPOSITORY / "data" / "reference" / "demo", tmp_path / "data" / "results" / "demo")
    (tmp_path / "data" / "published").symlink_to(REPOSITORY / "data" / "published")
    monkeypatch.setenv("NCREPRO_ROOT", str(tmp_path))


# What is looked at ----------------------------------------------------------------------------------------------------


def _axes(figure):
    return [ax for ax in figure.findobj(plt.Axes) if ax.get_visible() and ax.axison]


def _tick_labels(axis) -> list[Text]:
    """The labels of the ticks that are drawn, in their order on the page."""
    low, high = sorted(axis.get_view_interval())
    ticks = [tick for tick in axis.get_major_ticks() if low - 1e-9 <= tick.get_loc() <= high + 1e-9]
    found = [label for tick in ticks for label in (tick.label1, tick.label2)]
    return [label for label in found if label.get_visible() and label.get_text()]


def _texts(figure) -> list[Text]:
    """Every text that is drawn."""
    axes, on_ticks = figure.findobj(plt.Axes), set()
    for ax in axes:
        for axis in (ax.xaxis, ax.yaxis):
            on_ticks |= set(axis.findobj(Text)) - {axis.label}
    found = [
        text for text in figure.findobj(Text) if text not in on_ticks and text.get_visible() and text.get_text().strip()
    ]
    found = [text for text in found if text.axes is None or text.axes.get_visible()]
    found = [
        text
        for text in found
        if text.axes is None or text.axes.axison or text not in (text.axes.xaxis.label, text.axes.yaxis.label)
    ]
    return found + [label for ax in _axes(figure) for axis in (ax.xaxis, ax.yaxis) for label in _tick_labels(axis)]


def faults(figure) -> list[str]:
    """What a reader would complain of, in words."""
    figure.draw_without_rendering()
    page, texts = figure.bbox, _texts(figure)
    boxes = np.array([text.get_window_extent().extents for text in texts])  # (n, left, bottom, right, top)
    found = [f"{t.get_text()!r} is smaller than {SMALLEST} pt" for t in texts if t.get_fontsize() < SMALLEST]
    inside = (boxes[:, :2] >= [page.x0 - 1, page.y0 - 1]).all(axis=1) & (
        boxes[:, 2:] <= [page.x1 + 1, page.y1 + 1]
    ).all(axis=1)
    found += [f"{texts[i].get_text()!r} leaves the page" for i in np.flatnonzero(~inside)]
    upright = np.flatnonzero([text.get_rotation() % 90 == 0 for text in texts])
    left, bottom, right, top = (
        boxes[upright] + [1, 1, -1, -1]
    ).T  # boxes that touch by a pixel do not cover each other
    over = (left[:, None] < right) & (left < right[:, None]) & (bottom[:, None] < top) & (bottom < top[:, None])
    found += [
        f"{texts[upright[i]].get_text()!r} is written over {texts[upright[j]].get_text()!r}"
        for i, j in np.argwhere(np.triu(over, 1))
    ]
    for ax in _axes(figure):
        labels = _tick_labels(ax.xaxis)
        for one, other in zip(labels, labels[1:], strict=False):  # slanted ones are as far apart as their baselines
            angle, apart = np.radians(one.get_rotation()), other.get_position()[0] - one.get_position()[0]
            apart *= ax.bbox.width / abs(np.diff(ax.get_xlim())[0])
            if one.get_rotation() % 90 and apart * np.sin(angle) < one.get_fontsize() * figure.dpi / 72:
                found.append(f"{one.get_text()!r} touches {other.get_text()!r}")
    return found


@pytest.mark.parametrize("name", sorted({entry.name for entry in index.everything()} - NOT_FROM_TABLES))
def test_the_texts_of_every_figure_can_be_read_and_its_claim_is_judged(name, tables):
    entry = next(entry for entry in index.of_profile("demo") if entry.name == name)
    shown = entry.draw("demo")
    assert faults(shown.figure) == [] and shown.figure.get_figwidth() <= style.PAGE
    if entry.claim:
        assert shown.verdict.word in WORDS and shown.found and "nan" not in shown.found


def test_what_cannot_be_read_is_found():
    figure, ax = plt.subplots(figsize=(2, 2))
    ax.set_xticks([0, 0.1], ["a long name", "another long name"])
    ax.text(0.5, 0.5, "tiny", size=4)
    figure.text(0.9, 0.95, "over the edge")
    assert faults(figure) == [
        "'tiny' is smaller than 6.5 pt",
        "'over the edge' leaves the page",
        "'a long name' is written over 'another long name'",
    ]
    figure, ax = plt.subplots(figsize=(2, 2))
    ax.set_xticks([0, 0.05, 1], list("abc"), rotation=45)
    assert faults(figure) == ["'a' touches 'b'"]


# One fault at a time --------------------------------------------------------------------------------------------------


def _ranked(n, **columns):
    return pd.DataFrame({"weighted_kendall": np.linspace(0.2, 0.6, n), "low": 0.19, "high": 0.61, **columns})


def test_no_mark_hides_its_interval():
    figure = charts.rows(_ranked(2, panel="p", row=["ncti", "static_baseline"]), "title", "x")
    marks = [line for line in figure.axes[0].lines if line.get_marker() in "oD"]
    bands = figure.axes[0].collections
    assert len(marks) == len(bands) == 2
    assert all(
        max(mark.get_markersize() * (2**0.5 if mark.get_marker() == "D" else 1) for mark in marks)
        < band.get_linewidth()[0]
        for band in bands
    )


def test_a_colour_means_the_same_in_every_panel():
    table = _ranked(4, panel=[*"ppqq"], row=["ncti", "static_baseline"] * 2)
    figure = charts.rows(table, "title", "x")
    looks = [
        {line.get_label(): (line.get_color(), line.get_marker()) for line in ax.lines if line.get_marker() in "oD"}
        for ax in figure.axes
    ]
    assert looks == [charts.LOOKS] * 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(charts.LOOKS)


def test_series_of_one_row_stand_one_below_the_other():
    table = _ranked(4, panel="p", row=["seli", "seli", "ncc", "ncc"], series=["here", "there"] * 2)
    ax = charts.rows(table, "title", "x", series={"here": ("k", "o"), "there": ("b", "s")}).axes[0]
    heights = {line.get_label(): line.get_ydata().tolist() for line in ax.lines if line.get_marker() in "os"}
    assert heights == {"here": pytest.approx([-0.2, 0.8]), "there": pytest.approx([0.2, 1.2])}


def test_the_line_of_two_fine_tunings_stands_inside_the_axis():
    table = _ranked(2, metric=["ncti", "static_baseline"])
    low, high = charts.interval_plot(table, 0.9, "title", "draws").axes[0].get_xlim()
    assert low < 0 and high > 0.9 + 0.02 * (high - low)


def test_the_total_of_no_model_is_cut_by_the_axis():
    ax = feature_spaces.terms(pd.DataFrame({"seli": [1.0, 0], "ncc": [1.0, 0]}, index=["a", "b"]), "title").axes[0]
    low, high = ax.get_xlim()
    assert low < 0 and high > 2


def test_the_classes_of_an_embedding_have_a_legend_with_a_look_for_each():
    n = 12
    points = pd.DataFrame({"model": "m", "label": range(n), "x": range(n), "y": range(n)})
    figure = charts.embedding(points, {"m": "m"}, "title")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [str(i) for i in range(n)]
    assert len({(line.get_color(), line.get_marker()) for line in figure.axes[0].lines}) == n


def test_two_ground_truths_that_agree_have_one_bar():
    table = pd.DataFrame(
        {
            "target": ["pixels", "pixels", "classes", "classes"],
            "metric": ["face", "leep"] * 2,
            "weighted_kendall": [0.1, 0.2] * 2,
            "pearson": [0.5, 0.6, 0.7, 0.8],
            "low": -0.9,
            "high": 0.9,
        }
    )
    figure = small_pools.correlation_bars(table, ["leep", "face"], 0.5, "title", "95 % of draws")
    heights = [[bar.get_height() for bars in ax.containers for bar in bars] for ax in figure.axes]
    assert heights == [[0.2, 0.1], [0.6, 0.5, 0.8, 0.7]]
    assert [text.get_text() for text in figure.legends[0].get_texts()][:3] == [
        "pixels and classes alike",
        "pixels",
        "classes",
    ]


def test_a_contest_is_drawn_once_and_its_winner_is_bold():
    metrics = ["ncti", "static_baseline", "leep"]
    square = pd.DataFrame(
        [[np.nan, 0.7, 0.96], [0.3, np.nan, 0.5], [0.04, 0.5, np.nan]], index=metrics, columns=metrics
    )
    against = pd.DataFrame({"supervised": [0.7, np.nan, 0.5]}, index=metrics)
    left, right = stability.contests(square, against, "static_baseline", "title").axes[:2]
    assert [(text.get_text(), text.get_fontweight()) for text in left.texts] == [
        ("70", "normal"),
        ("96", "bold"),
        ("50", "normal"),
    ]
    assert [text.get_text() for text in right.texts] == ["70", "50", "itself"]


def test_matrices_that_do_not_fit_side_by_side_stand_below_each_other():
    cells = [(panel, row, f"target_{i}", "48", 0.5) for panel in "abcde" for row in ("one", "two") for i in range(6)]
    figure = multi_source.matrices(
        pd.DataFrame(cells, columns=["panel", "row", "column", "text", "shade"]), "title", "rank"
    )
    assert figure.get_figwidth() == style.PAGE and faults(figure) == []
    assert len({round(ax.get_position().y0, 3) for ax in figure.axes[:5]}) > 1
    cell = figure.axes[0].get_window_extent().width / 6 / figure.dpi
    assert cell > 0.2  # inches: two figures and a point at 6.5 pt


def test_regrets_say_in_words_what_their_numbers_are():
    table = pd.DataFrame(
        {"panel": "p", "row": ["ncti", "random"], "regret": [1.0, 2.0], "top1": [1 / 3, 0.1], "top3": [2 / 3, 0.3]}
    )
    figure = stability.regrets(table, "title")
    assert {"first", "in top 3", "33 %", "67 %", "10 %", "30 %"} == {text.get_text() for text in figure.axes[0].texts}
    assert "share of the targets" in figure.legends[0].get_title().get_text()


def test_views_of_the_same_images_do_not_repeat_their_numbers():
    made = [
        Images(name, "train", np.zeros((4, 3, 8, 8), np.uint8), np.array([0, 0, 1, 1]), ("x", "y"))
        for name in ("one", "two")
    ]
    written = [text.get_text() for text in data_examples.images(made, source_rows=1).texts]
    assert written == ["one", "two"]
    other = Images("three", "train", np.zeros((6, 3, 8, 8), np.uint8), np.array([0, 0, 0, 1, 1, 1]), ("x", "y"))
    assert "2 classes,\n3 images each" in [
        text.get_text() for text in data_examples.images([*made, other], source_rows=1).texts
    ]


def test_no_interval_of_a_share_leaves_0_to_1():
    table = pd.DataFrame({"model": ["a", "b"], "total": [0.9, 0.1], "low": [0.5, -0.2], "high": [1.2, 0.3]})
    parts = pd.DataFrame({"model": ["a", "b"], "metric": "ncti", "share": [1.0, 0.0]})
    ax = rank_your_own.ranking_plot(table, parts, "title").axes[0]
    ends = [segment[:, 0].tolist() for segment in ax.collections[0].get_segments()]
    assert ends == [[0.5, 1], [0, 0.3]]
