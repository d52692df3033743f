"""The two splits that every data set of the lab has."""

from collections.abc import Collection

from ...store import schema

SPLITS = ("train", "test")


def check(name: str, known: Collection[str], split: str) -> None:
    """Refuse a data set that is none of ``known``, and a split that no data set has.

    Raises
    ------
    ValueError
        With the names that there are, and the nearest of them.
    """
    schema.refuse_unknown("data set", name, known)
    schema.refuse_unknown("split", split, SPLITS)
