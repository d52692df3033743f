"""A slider: one drawing for each move, on axes that stay where they are."""

import json
from io import BytesIO

import matplotlib
import numpy as np
import pytest
from conftest import REPOSITORY
from matplotlib import pyplot as plt
from PIL import Image

from ncrepro.figures import sliders
from ncrepro.store import trace

WITH_SLIDERS = ("00_start_here", "01_neural_collapse")


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    matplotlib.use("agg")
    plt.close("all")
    yield
    assert plt.get_fignums() == []  # or the notebook shows it once more, below the picture


@pytest.fixture
def drawing():
    """What was drawn, in order, and what draws it."""
    calls = []

    def draw(height, width):
        calls.append((height, width))
        figure, ax = plt.subplots(figsize=(2, 1))
        ax.set(xlim=(0, 1), ylim=(0, 1))
        ax.bar([0.5], [height], width)
        return figure

    return calls, draw


def test_a_move_draws_once_and_changes_the_picture_once(drawing):
    calls, draw = drawing
    *moved, picture = sliders.follow(draw, height=[0.1, 0.5, 0.9], width=[0.2, 0.4]).children
    changes = []
    picture.observe(changes.append, "value")
    assert calls == [(0.1, 0.2)] and not any(slider.continuous_update for slider in moved)
    moved[0].value = 0.9
    assert calls == [(0.1, 0.2), (0.9, 0.2)] and len(changes) == 1
    moved[1].value = 0.4
    assert calls[2:] == [(0.9, 0.4)] and len(changes) == 2
    moved[1].value = 0.4  # where it was
    assert len(calls) == 3 and len(changes) == 2
    assert Image.open(BytesIO(picture.value)).format == "PNG"


@pytest.mark.parametrize("by_make", [False, True])
def test_a_reader_gets_the_sliders_and_make_the_first_picture(drawing, monkeypatch, by_make):
    calls, draw = drawing
    shown = []
    monkeypatch.setattr(trace, "is_on", lambda: by_make)
    monkeypatch.setattr(sliders, "display", shown.append)
    assert sliders.slide(draw, height=[0.1, 0.5], width=[0.2]) is None
    (shown,) = shown
    assert calls == [(0.1, 0.2)] and isinstance(shown, plt.Figure) is by_make


def cells(name):
    return json.loads((REPOSITORY / "notebooks" / f"{name}.ipynb").read_text())["cells"]


def test_every_slider_of_a_notebook_is_one_of_these():
    for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        code = ["".join(cell["source"]) for cell in cells(path.stem) if cell["cell_type"] == "code"]
        assert any("slide(" in source for source in code) is (path.stem in WITH_SLIDERS), path.stem
        assert not any("interact" in source or "ipywidgets" in source for source in code), path.stem


@pytest.mark.parametrize("name", WITH_SLIDERS)
def test_the_axes_of_a_notebooks_slider_stay_and_hold_every_point(name, monkeypatch):
    from ncrepro import metrics
    from ncrepro.figures import feature_spaces
    from ncrepro.lab import point_clouds

    cell = next(cell for cell in cells(name) if "slide(" in "".join(cell["source"]) and cell["cell_type"] == "code")
    calls = []
    names = {
        "metrics": metrics,
        "point_clouds": point_clouds,
        "pictures": feature_spaces,
        "sweep": point_clouds.fairness_at_equal_collapse(spread=0.5),
    }
    exec("".join(cell["source"]), names | {"slide": lambda draw, **choices: calls.append((draw, choices))})
    ((draw, choices),) = calls
    seen = set()
    for value in np.linspace(0, 1, 3):
        figure = draw(**{key: values[round(value * (len(values) - 1))] for key, values in choices.items()})
        figure.canvas.draw()
        (ax,) = figure.axes
        points = np.concatenate([line.get_xydata() for line in ax.lines])
        assert points.min() > ax.get_xlim()[0] and points.max() < ax.get_xlim()[1] and ax.get_xlim() == ax.get_ylim()
        seen.add((ax.get_xlim(), tuple(ax.get_position().bounds)))
        plt.close(figure)
    assert len(seen) == 1
    (output,) = cell["outputs"]
    assert "image/png" in output["data"]  # what those see who do not run it
