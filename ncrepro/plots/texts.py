"""What labelled texts look like."""

from textwrap import shorten

import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from . import style


def examples(table: pd.DataFrame, title: str) -> Figure:
    """Texts of several data sets, one block of lines per data set, each line with its class.

    Parameters
    ----------
    table : DataFrame (dataset, label, text)
        In the order in which they are shown.
    """
    blocks = list(table.groupby("dataset", sort=False))
    n_lines = len(table) + 1.5 * len(blocks)
    figure, ax = plt.subplots(figsize=(style.PAGE, 0.3 + 0.16 * n_lines))
    ax.set(xlim=(0, 1), ylim=(n_lines, 0.3))
    ax.set_axis_off()
    y = 0.0
    for name, block in blocks:
        y += 1.2
        ax.text(0, y, name, weight="bold", size=8, va="center")
        for row in block.itertuples():
            y += 1
            ax.text(0.02, y, row.label, size=7, va="center", color=style.COLOURS[0])
            ax.text(0.14, y, shorten(row.text, 105, placeholder=" …"), size=7, va="center")
        y += 0.3
    figure.suptitle(title, size=9)
    return figure
