"""Progress of long work: one bar that moves on a terminal and in JupyterLab, a few lines in a log and under make."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO, TypeVar

from tqdm import tqdm

from . import trace

Item = TypeVar("Item")

LINES = 4  # of a log, for all of the work: one at each quarter
APART = 5  # seconds, at least, between two of them


@contextmanager
def bar(
    title: str, total: int, *, done: int = 0, unit: str = "", passing: bool = False, shown: bool = True
) -> Iterator[Callable[..., None]]:
    """Show how much of some work is done; yields ``advance(n=1, note="")``, which says that ``n`` more are.

    Parameters
    ----------
    title, total, done, unit
        The name of the work, its size, how much was done before, and the unit.
    passing : bool
        A part of other work that has a bar: it disappears when it ends, and a log has lines of it only if it is long.
    shown : bool
        False shows nothing.
    """
    if not shown:
        yield lambda n=1, note="": None
    elif is_live():
        with tqdm(
            total=total, initial=done, desc=title, unit=f" {unit}" if unit else "it", file=out(), leave=not passing
        ) as moving:

            def advance(n: int = 1, note: str = "") -> None:
                moving.set_postfix_str(note, refresh=False)
                moving.update(n)

            yield advance
    else:
        with _lines(title, total, done, f" {unit}" if unit else "", passing) as advance:
            yield advance


def through(items: Iterable[Item], title: str, total: int, **options) -> Iterator[Item]:
    """``items`` one after the other, under a `bar`."""
    with bar(title, total, **options) as advance:
        for item in items:
            yield item
            advance()


def out() -> TextIO:
    """Where progress and cautions go: standard output in a notebook, which shows the other one in red; else standard
    error, so that what a command answers can be piped.
    """
    return sys.stdout if _in_notebook() else sys.stderr


def is_live() -> bool:
    """Is there somebody who sees a bar move? Not under make, whose notebooks are executed unseen and logged."""
    return not trace.is_on() if _in_notebook() else sys.stderr.isatty()


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


@contextmanager
def _lines(title: str, total: int, done: int, unit: str, passing: bool) -> Iterator[Callable[..., None]]:
    """What a log has in place of a bar: the start of the work, its quarters, and its end with the time it took."""
    started = last = time.monotonic()
    to_do = total - done

    def say(more: str) -> None:
        print(f"{title}: {done} of {total}{unit}{more}", file=out(), flush=True)

    def advance(n: int = 1, note: str = "") -> None:
        nonlocal done, last
        quarter = done * LINES // max(total, 1)
        done += n
        now = time.monotonic()
        if quarter < done * LINES // max(total, 1) < LINES and now - last >= APART:
            last = now
            say(f", {now - started:.0f} s")

    if to_do and not passing:
        say("")
    yield advance
    if not passing:
        say(f", {time.monotonic() - started:.0f} s" if to_do else ", all there")
