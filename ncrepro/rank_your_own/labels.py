"""Labels in any form -> positions in the sorted classes, or one sentence about a value that is not a class label."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import pandas as pd

from ..metrics._arrays import check_whole

TRAIN = {"train", "training", "trn", "trainval"}
MISSING = {"nan", "none", "null", "na", "<na>", "n/a", "#n/a", "nat"}  # what libraries and programs write for no label
HELD_OUT = set(
    "test testing tst val valid validation eval evaluation dev holdout heldout unlabeled unlabelled pred predict "
    "prediction predictions".split()
)
NUMBERED = re.compile("(?<![a-z])((held|hold)[ _-]?out|(fold|cv|split)[ _-]?[0-9]+)")  # held out as well
IMAGES = {"image", "images", "img", "imgs", "jpegimages"}
BESIDE = set(
    "annotation annotations boxes groundtruth label labels mask masks segmentation segmentationclass "
    "segmentationobject segmentations thumbnails thumbs trimaps".split()
)
FILLING = {"set", "split", "data", "dataset", "images", "image", "imgs", "img", "photos", "final", "public", "private"}


def encode(labels: Any, n: int, what: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as positions in the sorted classes, and what these are called.

    Parameters
    ----------
    labels : list, array, tensor or column of n labels
        Integers or strings.
    n : int
        How many samples there are.
    what : str
        What the samples are, in the plural, for the message.

    Raises
    ------
    ValueError
        If a label is missing, is a measured number, or if a sample has more than one.
    """
    classes, codes = np.unique(plain_values(labels, n, what), return_inverse=True)
    return codes.astype(np.int64), tuple(map(str, classes.tolist()))


def plain_values(labels: Any, n: int, what: str) -> np.ndarray:
    """Labels as one array of integers or strings, checked; parameters and errors as those of `encode`."""
    if labels is None:
        raise ValueError(f"labels are missing: give labels=..., one per sample of the {n} {what}")
    values = [_plain(x) for x in as_list(labels)]
    if len(values) != n:
        raise ValueError(f"{n} {what} but {len(values)} labels; give exactly one label per sample")
    if missing := [i for i, x in enumerate(values) if is_missing(x)]:
        raise ValueError(
            f"labels are missing: {len(missing)} of the {n} {what} have none, the first is number {missing[0] + 1}; "
            "fill them in, or leave these samples out"
        )
    values = [_checked(x, i) for i, x in enumerate(values)]
    numbers = [not isinstance(x, str) for x in values]
    if any(numbers) and not all(numbers):
        one, other = values[numbers.index(True)], values[numbers.index(False)]
        raise ValueError(f"labels are partly numbers ({one!r}), partly strings ({other!r}); make them one or the other")
    array = np.array(values, dtype=None if all(numbers) else object)
    if array.dtype.kind == "f":  # NumPy rounds integers that no integer type of its own holds side by side
        array = np.array(values, dtype=object)
    return array


def is_missing(x: Any) -> bool:
    """Whether a value means a missing label: None, NaN, pandas' NA and NaT, or only blanks."""
    if isinstance(x, str):
        return not x.strip()
    return x is None or x is pd.NA or x is pd.NaT or (isinstance(x, float) and x != x)


def as_list(labels: Any) -> list:
    """Labels as a list, whatever holds them: an iterator can be gone through once only."""
    if isinstance(labels, pd.DataFrame):
        labels = labels.to_numpy()
    try:
        if isinstance(labels, (str, bytes, dict, set, frozenset)):
            raise TypeError
        labels = labels.tolist() if hasattr(labels, "tolist") else labels
        return list(labels)
    except (TypeError, RuntimeError):  # a number, or a sparse array
        raise ValueError(
            f"labels are a {type(labels).__name__}; allowed is a list or an array, one label per sample"
        ) from None


def from_csv(column: list[str]) -> list:
    """The labels of a CSV file. Measured numbers become numbers, so that they are refused later; all others stay as
    they are.
    """
    numbers = {name: _number(name) for name in dict.fromkeys(column) if name.strip() and not missing_lookalikes([name])}
    if None in numbers.values() or all(x == x.to_integral_value() for x in numbers.values()):
        return column
    return [float(name) if name in numbers else None for name in column]


def _number(text: str) -> Decimal | None:
    """The number that a text says, if it says one; exact, as labels may have more digits than a float."""
    try:
        found = Decimal(text.replace("_", "?"))  # Python would read 1_0 as 10
    except InvalidOperation:
        return None
    return None if found.is_nan() else found


def _plain(x: Any) -> Any:
    """NumPy's and torch's scalars as Python's, bytes as a string, and an array of one label as that label."""
    x = x.tolist() if hasattr(x, "tolist") else x
    if isinstance(x, (list, tuple)) and len(x) == 1:
        return _plain(x[0])
    return x.decode(errors="backslashreplace") if isinstance(x, bytes) else x


def _checked(x: Any, i: int) -> int | str:
    if isinstance(x, (str, bool)):
        return x
    if isinstance(x, (int, float)):
        if x == x // 1:
            return int(x)
        raise ValueError(
            f"labels are measured numbers (sample {i} has {x:g}), not classes: sort them into a few classes, "
            "and give an integer or a name for each, as 'low' and 'high'"
        )
    hint = "; labels.argmax(axis=1) if they are one-hot" if isinstance(x, (list, tuple)) else ""
    raise ValueError(
        f"sample {i} has the label {str(x)[:60]}, a {type(x).__name__}; allowed is one integer or string per "
        f"sample{hint}"
    )


def check(codes: np.ndarray, classes: Sequence[str], name: str) -> None:
    """Refuse what no score can compare: fewer than two classes, classes of fewer than two samples, splits for classes.

    Raises
    ------
    ValueError
        Says which it is.
    """
    counts = np.bincount(codes, minlength=len(classes))
    if len(codes) == 0:
        raise ValueError(f"{name} holds no samples; give at least two of each class")
    if (counts > 0).sum() < 2:
        raise ValueError(
            f"all {len(codes)} samples of {name} are of class {classes[counts.argmax()]!r}; a score compares classes: "
            "give samples of at least two"
        )
    if set(splits(classes).values()) <= {"train", "held out"}:
        raise ValueError(
            f"the classes of {name} are called {', '.join(classes)}, which are splits of a data set; give one of them, "
            "labelled by the classes to recognise"
        )
    for k in np.flatnonzero(counts < 2)[:1]:
        raise ValueError(
            f"class {classes[k]!r} of {name} has {counts[k]} sample(s); give at least two of each class, or leave "
            "the class out"
        )


def splits(names: Sequence[str]) -> dict[str, str]:
    """Which split the names of folders or classes side by side mean: ``"train"`` or ``"held out"``, ``"perhaps"`` a
    split (there are other words in the name), or ``""`` for none.

    A word that all possible splits share (``flowers_train``, ``flowers_valid``) does not count as another word.
    """
    words = {name: _words(name) for name in names}
    candidates = [found for found in words.values() if found & (TRAIN | HELD_OUT)]
    shared = set.intersection(*candidates) - TRAIN - HELD_OUT if len(candidates) > 1 else set()
    kinds = {}
    for name, found in words.items():
        kind = "train" if found & TRAIN else "held out" if found & HELD_OUT else ""
        kinds[name] = "perhaps" if kind and found - shared - TRAIN - HELD_OUT else kind
    return kinds


def are_parts(names: Sequence[str]) -> bool:
    """Whether names are those of the folders of images and of what belongs to them, as masks."""
    plain = {re.sub("[^a-z]", "", name.casefold()) for name in names}
    return bool(plain & IMAGES and plain & BESIDE) and plain <= IMAGES | BESIDE


def _words(name: str) -> set[str]:
    """The words in a name, but for those that any folder may have in its own."""
    name = re.sub("(?i)(set|data|images)(?![a-z])", " ", name)
    name = re.sub("(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)  # between words in CamelCase
    words = re.findall("[a-z]+", NUMBERED.sub(" heldout ", name.lower()))
    return {word for word in words if len(word) > 1} - FILLING


def missing_lookalikes(classes: Sequence[str]) -> list[str]:
    """Classes whose name is a usual way to write a missing label as a string."""
    return [name for name in classes if name.strip().casefold() in MISSING]


def plain_name(name: str) -> str | Decimal:
    """A class without what may differ from file to file: blanks, capitals, the way of writing an accent or a number."""
    plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
    number = _number(plain)
    return plain if number is None else number


def lookalikes(classes: Sequence[str]) -> list[tuple[str, ...]]:
    """Classes that differ by blanks, capitals or the way of writing an accent or a number only."""
    groups = defaultdict(list)
    for name in classes:
        groups[plain_name(name)].append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def subset(codes: np.ndarray, max_per_class: int, seed: int, without: Iterable[int] = ()) -> np.ndarray:
    """Positions of at most so many samples of each class, drawn with ``seed``, in their old order.

    Where one of them is in ``without``, the next that would be drawn takes its place.
    """
    check_whole("max_per_class", max_per_class, 2)
    check_whole("seed", seed, 0)
    order = np.random.default_rng(seed).permutation(len(codes))
    order = order[~np.isin(order, list(without))]
    place = pd.Series(codes[order]).groupby(codes[order]).cumcount().to_numpy()
    return np.sort(order[place < max_per_class])
