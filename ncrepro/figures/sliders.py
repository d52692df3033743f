"""A picture that follows sliders, where a reader runs the notebook; elsewhere the same picture, standing still."""

from collections.abc import Callable, Sequence

from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ..store import trace
from . import style


def slide(draw: Callable[..., Figure], **choices: Sequence[float]) -> None:
    """Show the figure that ``draw`` makes of the first value of each choice, and a slider for each.

    A slider that has moved draws one figure, when it is let go. In a notebook that make runs there is nobody to move
    one: what is saved and printed is the figure alone.

    Parameters
    ----------
    draw : function of one number per choice, under its name, that returns a figure
        Its axes should not depend on the numbers: pictures are compared by eye.
    choices : name -> the values of its slider, from left to right
    """
    if trace.is_on():
        figure = draw(**{name: values[0] for name, values in choices.items()})
        plt.close(figure)  # before the notebook shows it a second time
        display(figure)
    else:
        display(follow(draw, **choices))


def follow(draw: Callable[..., Figure], **choices: Sequence[float]):
    """The sliders and the picture below them, as one widget."""
    from ipywidgets import Image, SelectionSlider, VBox  # only a running notebook needs them

    sliders = {
        name: SelectionSlider(options=[(f"{value:.2f}", value) for value in values], description=name)
        for name, values in choices.items()
    }
    picture = Image(format="png")
    picture.layout.max_width = "100%"

    def redraw(_=None) -> None:
        picture.value = _png(draw(**{name: slider.value for name, slider in sliders.items()}))

    for slider in sliders.values():
        slider.continuous_update = False
        slider.observe(redraw, "value")
    redraw()
    return VBox([*sliders.values(), picture])


def _png(figure: Figure) -> bytes:
    drawn = style.png(figure)
    plt.close(figure)
    return drawn
