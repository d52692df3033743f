"""What the metrics ask of an array: checked input, blocks of rows, one spelling for NumPy and torch.

What touches the samples runs where they live (CPU or GPU); the small matrices that come of it are float64 in NumPy.
"""

import mmap
import numbers
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from scipy import sparse
from scipy.linalg import blas

Array = Any  # numpy.ndarray, numpy.memmap or torch.Tensor
GRAM_BYTES = 1 << 26  # rows at a time where their Gram matrix is formed: large, so that adding it up costs little
STREAM_BYTES = 1 << 22  # rows at a time elsewhere: small, so that they stay in the processor's cache


def namespace(array: Array) -> ModuleType:
    """``torch`` for a torch tensor, else ``numpy``; torch is not imported for it."""
    torch = sys.modules.get("torch")
    return torch if torch is not None and isinstance(array, torch.Tensor) else np


def host(array: Array) -> np.ndarray:
    """The values as a NumPy array of the same precision."""
    return np.asarray(array if namespace(array) is np else array.detach().cpu())


def like(values: np.ndarray, block: Array) -> Array:
    """NumPy values as an array of the library, precision and device of ``block``."""
    xp = namespace(block)
    if xp is np:
        return np.asarray(values, dtype=block.dtype)
    return xp.as_tensor(values, dtype=block.dtype, device=block.device)


def working_dtype(features: Array) -> str:
    """``"float32"`` for features of at most 32 bits, else ``"float64"``."""
    name = str(features.dtype).removeprefix("torch.")
    return "float32" if name in ("float16", "bfloat16", "float32") else "float64"


def rows(features: Array, index: slice | np.ndarray, dtype: str) -> Array:
    """The rows ``index`` of the features, in precision ``dtype``, still where they were."""
    xp = namespace(features)
    if xp is np:
        return np.asarray(features[index], dtype=dtype)
    if isinstance(index, np.ndarray):
        index = xp.as_tensor(index, device=features.device)
    return features[index].to(getattr(xp, dtype))


def as_float64(block: Array) -> Array:
    """The same block in float64, where it was."""
    return block.astype(np.float64, copy=False) if namespace(block) is np else block.double()


def slices(n_samples: int, row_bytes: int, block_bytes: int = STREAM_BYTES) -> Iterator[slice]:
    """Consecutive slices that cover ``n_samples`` rows, about ``block_bytes`` each."""
    step = max(64, block_bytes // row_bytes)
    return (slice(start, min(start + step, n_samples)) for start in range(0, n_samples, step))


def empty(n_rows: int, features: Array, dtype: str) -> Array:
    """Room for some rows of the features in precision ``dtype``, where the features are."""
    xp = namespace(features)
    where = {} if xp is np else {"device": features.device}
    return xp.empty((n_rows, features.shape[1]), dtype=getattr(xp, dtype), **where)


def centred_blocks(
    features: Array, point: np.ndarray, dtype: str, block_bytes: int = STREAM_BYTES
) -> Iterator[tuple[slice, Array]]:
    """``(rows, features[rows] - point)`` of consecutive blocks of rows, each of which overwrites the last."""
    xp, (n, d) = namespace(features), features.shape
    parts = list(slices(n, d * np.dtype(dtype).itemsize, block_bytes))
    buffer = empty(parts[0].stop, features, dtype)
    point = like(point, buffer)
    for part in parts:
        yield part, xp.subtract(features[part], point, out=buffer[: part.stop - part.start])
        release(features)


def centred_rows(features: Array, index: np.ndarray, point: np.ndarray, buffer: Array) -> Array:
    """``features[index] - point`` in the first rows of ``buffer``: NumPy gathers far faster into memory that it has."""
    xp, out = namespace(features), buffer[: len(index)]
    if xp is np and features.dtype == buffer.dtype:
        block = np.take(features, index, axis=0, out=out, mode="clip")
    else:
        block = rows(features, index, str(buffer.dtype).removeprefix("torch."))
    release(features)
    return xp.subtract(block, like(point, buffer), out=out)


def upper_gram(block: Array) -> np.ndarray:
    """Z'Z of a block Z (b, d), of which only the upper triangle is meant: NumPy would mirror every product."""
    if namespace(block) is not np:
        return host(block.T @ block)
    syrk = blas.get_blas_funcs("syrk", (block,))
    if block.flags.c_contiguous:
        return syrk(1.0, block.T, lower=1).T
    return syrk(1.0, block, trans=1, lower=1).T


def sum_by_class(block: Array, codes: np.ndarray, n_classes: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Sums of the rows of ``block`` (n, d), times ``weights`` (n,), over each class: (K, d)."""
    xp, n = namespace(block), len(codes)
    weights = like(np.ones(n) if weights is None else weights, block)
    if xp is np:
        members = sparse.csc_array((weights, codes, np.arange(n + 1)), shape=(n_classes, n))
        return host(members @ block)
    members = xp.as_tensor(codes, device=block.device) == xp.arange(n_classes, device=block.device)[:, None]  # (K, n)
    return host((members * weights) @ block)


def weighted(block: Array, weights: np.ndarray | None) -> Array:
    """The rows of ``block`` times the roots of ``weights``, so that its Gram matrix is the weighted one."""
    return block if weights is None else block * like(np.sqrt(weights), block)[:, None]


def softmax(logits: Array) -> Array:
    """Softmax over the classes, the last axis of (n, K)."""
    xp = namespace(logits)
    odds = xp.exp(logits - xp.amax(logits, axis=1, keepdims=True))
    return odds / odds.sum(1)[:, None]


def release(features: Array) -> None:
    """Give the pages of a memory map back to the system, so that files larger than memory can be walked through."""
    kept = None
    while isinstance(features, np.ndarray):
        kept = features if isinstance(features, np.memmap) else kept
        features = features.base
    if isinstance(features, mmap.mmap) and kept is not None and kept.mode != "c" and hasattr(mmap, "MADV_DONTNEED"):
        features.madvise(mmap.MADV_DONTNEED)


def check_features(features: Array, what: str = "features") -> Array:
    """Features as an array of shape (n, d), or a ``ValueError`` that says what they, called ``what``, are instead."""
    features = dense(features, what)
    if len(features.shape) != 2 or 0 in features.shape:
        raise ValueError(
            f"{what} have shape {tuple(features.shape)}; they must be (n_samples, n_features), neither of them 0: "
            "flatten or pool each sample to one vector"
        )
    if namespace(features) is np:
        real, remedy = features.dtype.kind in "fiub", ".astype(float)"
    else:
        whole = str(features.dtype).startswith(("torch.int", "torch.uint", "torch.bool"))
        real, remedy = whole or (features.is_floating_point() and features.element_size() > 1), ".float()"
    if not real:
        raise ValueError(f"{what} are of type {features.dtype}; they must be real numbers: convert them with {remedy}")
    return features.byte() if str(features.dtype) == "torch.bool" else features


def check_labels(labels: Array, n_samples: int | None = None, what: str = "labels") -> tuple[np.ndarray, np.ndarray]:
    """``(classes, codes)``: the sorted distinct labels, and for each sample the position of its label among them."""
    given, labels = labels, dense(labels, what)
    if namespace(labels) is not np:
        labels = host(labels.float() if labels.is_floating_point() else labels)  # NumPy has no bfloat16
    if labels.ndim == 1 and labels.dtype.kind in "US" and isinstance(given, (list, tuple)):
        kind = str if labels.dtype.kind == "U" else bytes  # NumPy makes strings of NaN and of numbers beside strings
        if others := [label for label in given if not isinstance(label, kind)]:
            raise ValueError(
                f"{what} are partly strings, partly not, for example {others[0]!r}; they must be all integers or all "
                "strings: leave out samples without a label"
            )
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        expected = f"({n_samples},)" if n_samples is not None else "(n_samples,)"
        raise ValueError(
            f"{what} have shape {labels.shape}; they must be {expected}, one label per sample: "
            f"use {what}.argmax(axis=1) if they are one-hot"
        )
    if n_samples is not None and len(labels) != n_samples:
        raise ValueError(f"{n_samples} samples but {len(labels)} {what}; give exactly one label per sample")
    if len(labels) == 0:
        raise ValueError(f"there are no {what}; give one label per sample")
    if labels.dtype.kind == "O":
        labels = _of_one_type(labels, what)
    if labels.dtype.kind not in "iubUS":
        raise ValueError(
            f"{what} are of type {labels.dtype}, for example {labels[0]!r}; they must be integers or strings: "
            "convert them with .astype(int) or .astype(str)"
        )
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "backslashreplace")
    elif labels.dtype.kind == "u" and labels.max() <= np.iinfo(np.int64).max:
        labels = labels.astype(np.int64)  # joined with signed integers, unsigned ones would become fractions
    return np.unique(labels, return_inverse=True)


def _of_one_type(labels: np.ndarray, what: str) -> np.ndarray:
    """Labels that are held as Python objects as an array of strings or integers, where all of them are."""
    for kind, dtype in ((str, str), (bytes, bytes), (numbers.Integral, int)):
        if all(isinstance(label, kind) for label in labels):
            try:
                return labels.astype(dtype)
            except OverflowError:
                raise ValueError(
                    f"{what} hold an integer of more than 64 bits, {max(labels, key=abs)}; give strings in their place"
                ) from None
    return labels


def check_two(classes: np.ndarray) -> None:
    """Refuse labels that are all the same."""
    if len(classes) < 2:
        raise ValueError(
            f"all labels are {classes[0].item()!r}; a score compares classes: give samples of at least two"
        )


def check_whole(name: str, value: object, least: int, otherwise: str = "") -> None:
    """Refuse an option that is no integer of at least ``least``; ``otherwise`` says what else is allowed."""
    if not isinstance(value, numbers.Integral) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be at least {least}, an integer{otherwise}")


def check_order(first: Array, second: Array, what: str) -> None:
    """Refuse two tables (or columns) whose row names show that rows at the same position are not the same sample.

    They show it if both have the same names in another order, or share only some of them. Names that have nothing in
    common show nothing, and neither do the numbers 0, 1, 2, ... that pandas gives to rows without names. There is one
    exception: if only the second has these numbers, and the first has them in another order, the first was shuffled
    alone.
    """
    pandas = sys.modules.get("pandas")
    if pandas is None or not all(isinstance(x, (pandas.DataFrame, pandas.Series)) for x in (first, second)):
        return
    one, other = first.index.to_flat_index(), second.index.to_flat_index()
    if _only_counts(one) or len(one) != len(other) or one.equals(other):
        return
    shared = int(one.isin(other).sum())
    if shared == 0 or (_only_counts(other) and not (shared == len(one) and one.is_unique)):
        return
    if one.value_counts(dropna=False).to_dict() == other.value_counts(dropna=False).to_dict():
        raise ValueError(
            f"{what} name the same samples in another order, and rows are paired by their position: bring both into "
            "one order with .loc, or give .to_numpy() of both if they are in one order already"
        )
    raise ValueError(
        f"{what} name the same samples only in part, and rows are paired by their position: take the same rows of both "
        "with .loc, or give .to_numpy() of both if they are in one order already"
    )


def _only_counts(index: Any) -> bool:
    """Whether an index of pandas only numbers the rows from 0, which names none."""
    return hasattr(index, "step") and index.start == 0 and index.step == 1


def dense(values: Array, what: str) -> Array:
    """An array or a tensor without gradients; a ``ValueError`` for what holds its numbers in another way."""
    if namespace(values) is not np and (values.is_nested or values.is_meta):
        kind = "nested, its rows may differ in length" if values.is_nested else "on the meta device, without values"
        raise ValueError(f"{what} are a tensor that is {kind}; they must be an array of numbers")
    if sparse.issparse(values) or (namespace(values) is not np and str(values.layout) != "torch.strided"):
        dense = "toarray" if sparse.issparse(values) else "to_dense"
        raise ValueError(f"{what} are sparse; they must be a dense array: use {what}.{dense}()")
    if np.ma.isMaskedArray(values):
        if np.ma.is_masked(values):
            raise ValueError(
                f"{np.ma.count_masked(values)} values of the {what} are masked; all must be there: drop those "
                "samples, or use .filled()"
            )
        return values.data
    if namespace(values) is not np:
        return values.detach().resolve_conj().resolve_neg()
    if isinstance(values, np.ndarray) and not isinstance(values, np.matrix):
        return values
    try:  # lists, data frames, arrays of other libraries
        found = np.asarray(values)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ValueError(
            f"{what} are a {type(values).__name__} that does not make an array ({str(error).splitlines()[0]}); stack "
            "its entries, all of one shape, first"
        ) from error
    if found.ndim == 0 and found.dtype == object:
        raise ValueError(f"{what} are a {type(values).__name__}; they must be an array with one row per sample")
    return found


def what_is_not_finite(features: Array) -> str:
    """A sentence about the first feature that is NaN or infinite, or about squares that are."""
    for part in slices(len(features), 8 * features.shape[1]):
        block = host(rows(features, part, "float64"))
        bad = np.argwhere(~np.isfinite(block))
        if len(bad):
            row, column = bad[0]
            return (
                f"features contain {block[row, column]} (first in row {part.start + row}, column {column}); all must "
                "be finite: drop those samples, or look for a layer that overflows"
            )
    return "features are too large: their squares are not finite; divide all by one constant, or pass them as float64"
