"""Every figure that the committed tables allow, as a reader meets it: no text is cut off, too small, or written over another."""

import inspect
import shutil
import sys
from itertools import combinations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from conftest import REPOSITORY
from matplotlib import pyplot as plt
from matplotlib.text import Text

from ncrepro.figures import charts, index, multi_source, selfsupervised, spaces, stability, style, transfer
from ncrepro.ranking.verdicts import UNKNOWN, Verdict

matplotlib.use("agg")

SMALLEST = 6.5  # points
# What needs images, texts, or times of this machine, none of which is committed.
NOT_FROM_TABLES = {
    "data_gallery", "selfsupervised_views", "loss_functions_images", "segmentation_scenes", "text_examples", "ncti_fig4",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _look():
    with plt.rc_context():
        style.use()
        yield
    plt.close("all")


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """The demo's committed tables as its results; claims are not judged, which would take minutes."""
    shutil.copytree(REPOSITORY / "notebooks" / "profiles", tmp_path / "notebooks" / "profiles")
    shutil.copytree(REPOSITORY / "data" / "reference" / "demo", tmp_path / "data" / "results" / "demo")
    monkeypatch.setenv("NCREPRO_ROOT", str(tmp_path))
    index.everything()
    for module in [module for name, module in sys.modules.items() if name.startswith("ncrepro.figures.")]:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if inspect.get_annotations(function, eval_str=True).get("return") == tuple[str, Verdict]:
                monkeypatch.setattr(module, name, lambda *_, **__: ("", UNKNOWN))


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
    found = [text for text in figure.findobj(Text) if text not in on_ticks and text.get_visible() and text.get_text().strip()]
    found = [text for text in found if text.axes is None or text.axes.get_visible()]
    found = [text for text in found if text.axes is None or text.axes.axison or text not in (text.axes.xaxis.label, text.axes.yaxis.label)]
    return found + [label for ax in _axes(figure) for axis in (ax.xaxis, ax.yaxis) for label in _tick_labels(axis)]


def faults(figure) -> list[str]:
    """What a reader would complain of, in words."""
    figure.draw_without_rendering()
    page, texts = figure.bbox, _texts(figure)
    boxes = np.array([text.get_window_extent().extents for text in texts])  # (n, left, bottom, right, top)
    found = [f"{t.get_text()!r} is smaller than {SMALLEST} pt" for t in texts if t.get_fontsize() < SMALLEST]
    inside = (boxes[:, :2] >= [page.x0 - 1, page.y0 - 1]).all(axis=1) & (boxes[:, 2:] <= [page.x1 + 1, page.y1 + 1]).all(axis=1)
    found += [f"{texts[i].get_text()!r} leaves the page" for i in np.flatnonzero(~inside)]
    upright = np.flatnonzero([text.get_rotation() % 90 == 0 for text in texts])
    left, bottom, right, top = (boxes[upright] + [1, 1, -1, -1]).T  # boxes that touch by a pixel do not cover each other
    over = (left[:, None] < right) & (left < right[:, None]) & (bottom[:, None] < top) & (bottom < top[:, None])
    found += [f"{texts[upright[i]].get_text()!r} is written over {texts[upright[j]].get_text()!r}" for i, j in np.argwhere(np.triu(over, 1))]
    for ax in _axes(figure):
        labels = _tick_labels(ax.xaxis)
        for one, other in zip(labels, labels[1:]):  # slanted ones are as far apart as their baselines
            angle, apart = np.radians(one.get_rotation()), other.get_position()[0] - one.get_position()[0]
            apart *= ax.bbox.width / abs(np.diff(ax.get_xlim())[0])
            if one.get_rotation() % 90 and apart * np.sin(angle) < one.get_fontsize() * figure.dpi / 72:
                found.append(f"{one.get_text()!r} touches {other.get_text()!r}")
    return found


@pytest.mark.parametrize("name", sorted({entry.name for entry in index.everything()} - NOT_FROM_TABLES))
def test_the_texts_of_every_figure_can_be_read(name, tables):
    entry = next(entry for entry in index.of_profile("demo") if entry.name == name)
    figure = entry.draw("demo").figure
    assert faults(figure) == [] and figure.get_figwidth() <= style.PAGE
