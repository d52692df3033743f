"""One look for every figure: sizes of a printed paper, colours that colour-blind readers can distinguish, no dates."""

import html
from base64 import b64encode
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import seaborn as sns
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from ..store import artifacts

COLUMN = 3.4  # inches, the width of one column of a two-column paper
PAGE = 7.0  # inches, the width of the page

# Okabe and Ito's colours, the order in which series take them; grey in place of their yellow, which cannot be seen on
# white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C8C8C")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")
DIVERGING = sns.diverging_palette(50, 250, s=90, l=50, as_cmap=True)  # correlations: orange -1, blue +1
SEQUENTIAL = mpl.colormaps["cividis"]

_RC = {
    "font.size": 8,
    "figure.titlesize": 9,
    "figure.labelsize": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=COLOURS[:7]),
    "figure.dpi": 130,
    "savefig.dpi": 300,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,
    "svg.hashsalt": "ncrepro",
}


def use() -> None:
    """Make the look above matplotlib's default in this session; the notebooks call it once."""
    mpl.rcParams.update(_RC)


def save(figure: Figure, name: str, folder: Path) -> list[Path]:
    """Write ``figure`` as ``folder/name.png`` and ``.pdf``, each whole or not at all; equal figures, equal bytes."""
    undated = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}
    files, layout = [Path(folder) / f"{name}.{kind}" for kind in undated], figure.get_layout_engine()
    for file, (kind, metadata) in zip(files, undated.items(), strict=True):
        artifacts.write(file, _file_bytes(figure, format=kind, metadata=metadata))
        figure.set_layout_engine("none")  # laid out once, for both
    figure.set_layout_engine(layout)
    return files


def png(figure: Figure) -> bytes:
    """``figure`` as a PNG file in the resolution of a screen, laid out for it: small letters are wider there."""
    return _file_bytes(figure, format="png", dpi="figure", metadata={"Software": None})


def _file_bytes(figure: Figure, **options) -> bytes:
    file = BytesIO()
    figure.savefig(file, **options)
    return file.getvalue()


@dataclass(frozen=True)
class Described:
    """A figure and what it shows in words, for readers who do not see it.

    A notebook shows the words below the figure, and keeps them as the alternative text of the picture. It is a tag of
    HTML, because JupyterLab and nbconvert give other pictures no such text.
    """

    figure: Figure
    words: str  # one sentence without its full stop

    @property
    def caption(self) -> str:
        """What stands below the figure, in Markdown."""
        return f"*Figure: {self.words}.*"

    def _ipython_display_(self) -> None:
        from IPython.display import Markdown, display  # always installed here: IPython calls this

        data = b64encode(png(self.figure)).decode()
        plt.close(self.figure)
        picture = f'<img alt="{html.escape(self.words)}" src="data:image/png;base64,{data}">'
        display({"text/html": picture, "text/plain": f"Figure: {self.words}"}, raw=True)
        display(Markdown(self.caption))
