"""The figure of `03_published_numbers`."""

from matplotlib.figure import Figure

from ..lab import published
from ..ranking.verdicts import Verdict, exact
from . import figure
from .plots.published import audit


def _adds_up(profile: str) -> tuple[str, Verdict]:
    checks = published.audit()
    return f"{(~checks['holds']).sum()} of {len(checks)} checks fail", exact(checks["holds"].all(), "printed numbers")


@figure(
    shows="what the papers print against what their own numbers give",
    notebook="03_published_numbers",
    claim="(both) the printed tables and sentences agree with each other",
    holds=_adds_up,
)
def published_audit(profile: str) -> Figure:
    return audit(published.audit(), published.averages(), published.benchmark())
