"""A picture with controls that change it, if a reader runs the notebook; otherwise the picture alone."""

from base64 import b64encode
from collections.abc import Callable, Sequence

from IPython.display import display
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ..store import trace
from . import style


def slide(draw: Callable[..., Figure], **choices: Sequence[float]) -> None:
    """Show the figure that ``draw`` makes of the first value of each choice, and a slider for each.

    A slider draws one figure when it is let go. In a notebook that make runs, nobody can move a slider: the figure is
    saved and printed without it.

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
    from ipywidgets import SelectionSlider  # only a running notebook needs it

    sliders = {
        name: SelectionSlider(
            options=[(f"{value:.2f}", value) for value in values], description=name, continuous_update=False
        )
        for name, values in choices.items()
    }
    live = Live(lambda: draw(**{name: slider.value for name, slider in sliders.items()}), *sliders.values())
    live.picture.layout.max_width = "100%"
    return live.box


class Live:
    """Controls above one picture; ``draw`` makes a new picture when a value changes. Without a kernel, one picture."""

    def __init__(self, draw: Callable[[], Figure], *controls):
        from ipywidgets import Image, VBox  # as above

        self._draw = draw
        self.picture = Image(format="png")
        self.box = VBox([*controls, self.picture])
        for control in controls:
            if control.has_trait("value"):
                control.observe(lambda _: self.redraw(), "value")
        self.redraw()

    def redraw(self) -> None:
        """Draw the picture again."""
        figure = self._draw()
        self.picture.value = style.png(figure)
        plt.close(figure)

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        bundle = self.box._repr_mimebundle_(include=include, exclude=exclude)
        return {**bundle, "image/png": b64encode(self.picture.value).decode()}
