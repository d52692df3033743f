"""What labelled texts look like."""

from textwrap import shorten

import pandas as pd
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from . import style

# Fonts of common systems that have Chinese characters; matplotlib brings none.
CHINESE = ("Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei", "PingFang SC", "Microsoft YaHei", "SimHei")


def examples(table: pd.DataFrame, title: str) -> Figure:
    """Texts of several data sets, one block of lines per data set, each line with its class.

    Parameters
    ----------
    table : DataFrame (dataset, label, text)
        In the order in which they are shown. Where no Chinese font is installed, its characters are boxes.
    """
    installed = {font.name for font in font_manager.fontManager.ttflist}
    fonts = ["DejaVu Sans", *(name for name in CHINESE if name in installed)]  # the first is matplotlib's own
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
            ax.text(0.02, y, _drawable(row.label, fonts), size=7, va="center", color=style.COLOURS[0], family=fonts)
            ax.text(0.14, y, _drawable(_start(row.text), fonts), size=7, va="center", family=fonts)
        y += 0.3
    figure.suptitle(title, size=9)
    return figure


def _start(text: str) -> str:
    """As much of a text as fits on a line; Chinese knows no spaces to shorten it at, and its characters are twice as wide."""
    short = shorten(text, 105, placeholder=" …")
    return f"{text[:52]} …" if short == "…" else short


def _drawable(text: str, fonts: list[str]) -> str:
    """``text`` with a box for every character that none of the ``fonts`` has."""
    glyphs = [font_manager.get_font(font_manager.findfont(font)).get_charmap() for font in fonts]
    return "".join(c if any(ord(c) in of_font for of_font in glyphs) else "□" for c in text)
