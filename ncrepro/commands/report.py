"""A ranking as its reader wants it: a table that fits the terminal, JSON, CSV, or one page of HTML."""

import html
import json
import math
import os
import shlex
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import IO

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..metrics import registry
from ..store import artifacts
from . import VERSION

STDOUT = "-"  # in the place of a file
UNKNOWN, NARROWEST = 80, 20  # width if the terminal does not know its own; the least width of a table
# Columns that are left out in a narrow terminal, in this order.
SPARE = ("peak_mb", "n_features", "n_samples", "seconds", "agreement")
HEADINGS = {"rank": "#", "n_samples": "samples", "n_features": "features", "peak_mb": "MB"}


# JSON and CSV ---------------------------------------------------------------------------------------------------------


def as_json(table: pd.DataFrame) -> str:
    """A ranking with all its attributes; unknown values are null."""
    rows = [{name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")]
    attributes = {key: _plain(value) for key, value in table.attrs.items()}
    return _dumped({"ncrepro": VERSION, "ranking": rows, **attributes})


def from_json(text: str) -> pd.DataFrame:
    """The ranking that `as_json` wrote."""
    content = json.loads(text)
    table = pd.DataFrame(content.pop("ranking"))
    for name in table.columns.difference(["model", "caution"]):
        if table[name].dtype == object:  # with null
            table[name] = table[name].astype(float)
    table.attrs = {key: value for key, value in content.items() if key != "ncrepro"}
    return table


def _plain(value):
    if isinstance(value, dict):
        return {str(key): _plain(x) for key, x in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def scores_as_json(scores: pd.DataFrame) -> str:
    """Scores (terms x models) by model; a term without a score for a model is left out there."""
    by_model = {model: of_model.dropna().to_dict() for model, of_model in scores.items()}
    return _dumped({"ncrepro": VERSION, "scores": by_model})


def _dumped(content: dict) -> str:
    """JSON in ASCII, which any terminal, file and reader can hold, whatever a model is called."""
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def as_csv(table: pd.DataFrame) -> str:
    """A table as comma-separated values."""
    return table.to_csv(index=False, lineterminator="\n")


def write_or_print(text: str, place: str | Path) -> None:
    """Write into a file, whole or not at all, or to standard output where ``place`` is `STDOUT`. A pipe or a device
    stays what it is. Names of files that are no text are written with escapes.
    """
    path = Path(place).expanduser()
    if str(place) == STDOUT:
        sys.stdout.write(text)
        return
    content = text.encode(errors="backslashreplace")
    if path.exists() and not path.is_file() and not path.is_dir():
        path.write_bytes(content)
    else:
        artifacts.write(path, content)


# The terminal ---------------------------------------------------------------------------------------------------------


def console(stream: IO) -> Console:
    """Where tables are printed: as wide as a terminal, or as wide as need be; in colour on a terminal only."""
    terminal = stream.isatty()
    colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    width = None if terminal or "COLUMNS" in os.environ else 10_000
    to = Console(file=stream, width=width, color_system="auto" if colour else None, force_terminal=terminal,
                 markup=False, highlight=False, emoji=False)  # fmt: skip
    to.width = max(to.width or UNKNOWN, NARROWEST)
    return to


def show(table: pd.DataFrame, stream: IO) -> None:
    """Print a ranking, best first, as many columns as there is room for, and its cautions below."""
    to = console(stream)
    metrics = [name for name in registry.METRICS if name in table]
    order = ["rank", "model", "total", "95 %", *metrics, "agreement", "seconds", "n_samples", "n_features", "peak_mb"]
    shown = table.assign(**{"95 %": [_interval(row) for row in table.itertuples()]})
    for left_out in (None, *SPARE, *reversed(metrics), "95 %"):
        order = [name for name in order if name != left_out]
        rich_table = _rich_table(shown[order], first="bold green")
        if _width(to, rich_table) <= to.width:
            break
    to.print(rich_table)
    if hidden := [name for name in metrics if name not in order]:
        to.print(f"({', '.join(hidden)}: in a wider terminal, or with --csv)")
    to.print()
    for caution in table.attrs["cautions"]:
        to.print(Text.assemble(("caution: ", "yellow"), _printable(caution)))
    to.print(table.attrs["meaning"], style="dim")


def show_scores(scores: pd.DataFrame, stream: IO) -> None:
    """Print scores (terms x models), as many models side by side as there is room for."""
    to = console(stream)
    better = ["lower" if registry.sign(registry.split(name)[1]) < 0 else "higher" for name in scores.index]
    start, models = 0, list(scores)
    while start < len(models):
        for stop in range(len(models), start, -1):
            part = scores[models[start:stop]]
            part = part.set_axis(scores.index, axis=0).rename_axis("score").reset_index().assign(better=better)
            rich_table = _rich_table(part)
            if _width(to, rich_table) <= to.width:
                break
        to.print(rich_table)
        start = stop


def _rich_table(table: pd.DataFrame, first: str = "") -> Table:
    """A table for the terminal; the first row in the style ``first``."""
    rich_table = Table(box=None, pad_edge=False, header_style="bold")
    for name in table:
        text = name in ("model", "score")
        rich_table.add_column(
            Text(HEADINGS.get(name, name)),
            justify="left" if text or name == "better" else "right",
            no_wrap=True,
            overflow="ellipsis",
            min_width=8 if text else None,
        )
    for i, row in enumerate(table.itertuples(index=False)):
        rich_table.add_row(*(Text(_cell(value)) for value in row), style=first if i == 0 else "")
    return rich_table


def _width(to: Console, rich_table: Table) -> int:
    """How wide a table would be if nothing of it were cut off."""
    return to.measure(rich_table, options=to.options.update(max_width=10_000)).maximum


def _interval(row) -> str:
    return "" if math.isnan(row.low) else f"{max(row.low, 0):.2f}–{min(row.high, 1):.2f}"  # no total lies beyond


def _printable(text: str) -> str:
    """Text on one line: control characters, as names of files may hold, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cell(value) -> str:
    if not isinstance(value, float):
        return _printable(str(value))
    if math.isnan(value):
        return ""
    return f"{value:.0f}" if abs(value) >= 1e3 or value == int(value) and abs(value) > 1 else f"{value:.3g}"


# HTML -----------------------------------------------------------------------------------------------------------------


def as_html(table: pd.DataFrame, title: str, command: Sequence[str] = ()) -> str:
    """One page that needs nothing beside it: the figure, the table, every term, the cautions, and how it was made."""
    best, metrics = table.iloc[0], [name for name in registry.METRICS if name in table]
    terms = pd.DataFrame(table.attrs["terms"]).T.reindex(table["model"]).rename_axis("model").reset_index()
    agreement, text = table.attrs["agreement"], ""
    if agreement is not None and not math.isnan(agreement):
        text = f"{', '.join(metrics)} agree to {agreement:.2f} (mean weighted Kendall between them; 1: the same order)."
    parts = [
        f"<p>Of {len(table)} models <strong>{_safe(best['model'])}</strong> is the most promising: "
        f"total {best['total']:.2f} (95 %: {_safe(_interval(best)) or 'not known'}). "
        f"{_safe(text)}</p>",
        f"<figure>{_figure(table, metrics)}<figcaption>The total of each model with its 95 % interval (filled), and "
        "where each metric alone puts it (hollow): 0 is the last of these models, 1 the first.</figcaption></figure>",
        "<h2>Cautions</h2>",
        f"<ul>{''.join(f'<li>{_safe(caution)}</li>' for caution in table.attrs['cautions']) or '<li>none</li>'}</ul>",
        f"<p>{_safe(table.attrs['meaning'])}</p>",
        "<h2>The evidence</h2>",
        _rows(table),
        "<h3>Terms, before they are put between 0 and 1</h3>",
        _rows(terms),
        "<h2>How it was made</h2>",
        f"<p>ncrepro {VERSION}, {date.today().isoformat()}.</p>",
        f"<pre>{_safe(shlex.join(command))}</pre>" if command else "",
    ]
    return _PAGE.format(title=_safe(title), body="\n".join(parts))


def _figure(table: pd.DataFrame, metrics: Sequence[str]) -> str:
    """Totals with intervals and each metric's own opinion, as SVG; a pointer that rests on a mark shows its number."""
    left, width, row = 10 + 7 * min(40, max(table["model"].str.len())), 480, 24
    height = row * len(table) + 64
    x = lambda share: left + 10 + width * min(max(share, 0), 1)  # noqa: E731
    elements = [f'<line x1="{x(i / 4)}" x2="{x(i / 4)}" y1="0" y2="{height - 60}" class="grid"/>' for i in range(5)]
    elements += [f'<text x="{x(i / 4)}" y="{height - 44}" text-anchor="middle">{i / 4:g}</text>' for i in range(5)]
    varied = table[[name for name in metrics if table[name].nunique() > 1]]
    shares = (varied - varied.min()) / (varied.max() - varied.min())
    for i, model in enumerate(table.itertuples()):
        y = row * i + row / 2
        name = model.model if len(model.model) <= 40 else f"{model.model[:39]}…"
        elements.append(f'<text x="{left}" y="{y + 4}" text-anchor="end">{_safe(name)}</text>')
        if not math.isnan(model.low):
            elements.append(f'<line x1="{x(model.low)}" x2="{x(model.high)}" y1="{y}" y2="{y}" class="interval"/>')
        for k, (metric, share) in enumerate(shares.items()):
            text = f"{metric} of {model.model}: {table[metric].iloc[i]:.4g}"
            elements.append(_mark(k, x(share.iloc[i]), y, text))
        text = f"total of {model.model}: {model.total:.2f} {_interval(model)}"
        title = f"<title>{_safe(text)}</title>"
        elements.append(f'<circle cx="{x(model.total)}" cy="{y}" r="5" class="total">{title}</circle>')
    at = 12
    for k, metric in enumerate(shares):
        elements.append(_mark(k, at, height - 16, metric))
        elements.append(f'<text x="{at + 9}" y="{height - 12}">{_safe(metric)}</text>')
        at += 30 + 7 * len(metric)
    wide = max(left + width + 30, at)
    return (
        f'<svg viewBox="0 0 {wide} {height}" width="{wide}" role="img" aria-label="totals of the models">'
        f"{''.join(elements)}</svg>"
    )


def _mark(k: int, x: float, y: float, text: str) -> str:
    """One of twelve hollow marks: four shapes in three colours."""
    corners = {
        0: [(-4, -4), (4, -4), (4, 4), (-4, 4)],
        1: [(0, -5), (5, 4), (-5, 4)],
        2: [(0, -5.5), (5.5, 0), (0, 5.5), (-5.5, 0)],
        3: [(0, 5), (5, -4), (-5, -4)],
    }[k % 4]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{points}" class="metric c{k // 4 % 3}"><title>{_safe(text)}</title></polygon>'


def _rows(table: pd.DataFrame) -> str:
    head = "".join(f"<th>{_safe(HEADINGS.get(name, name))}</th>" for name in table)
    body = "".join(f"<tr>{''.join(_td(value) for value in row)}</tr>" for row in table.itertuples(index=False))
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _td(value) -> str:
    return f"<td{'' if isinstance(value, str) else ' class=number'}>{_safe(_cell(value))}</td>"


def _safe(text: object) -> str:
    return html.escape(str(text))


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --ink: light-dark(#1b1b1b, #e8e8e8); --faint: light-dark(#d0d0d0, #555);
  --main: light-dark(#0b5fa5, #6db8f2); --c0: light-dark(#b3541e, #f0a070); --c1: light-dark(#2c7a3f, #7fd08f);
  --c2: light-dark(#7a3a9a, #cf9be8); }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem;
  color: var(--ink); }}
figure {{ margin: 1rem 0; }} svg {{ max-width: 100%; height: auto; font-size: 12px; fill: var(--ink); }}
.grid {{ stroke: var(--faint); }} .interval {{ stroke: var(--main); stroke-width: 3; opacity: .5; }}
.total {{ fill: var(--main); }} .metric {{ fill: none; stroke-width: 1.4; pointer-events: all; }}
.c0 {{ stroke: var(--c0); }} .c1 {{ stroke: var(--c1); }} .c2 {{ stroke: var(--c2); }}
.wide {{ overflow-x: auto; }} table {{ border-collapse: collapse; font-size: 14px; }}
th, td {{ padding: .2rem .6rem; border-bottom: 1px solid var(--faint); text-align: left; white-space: nowrap; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; }} pre {{ white-space: pre-wrap; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""
