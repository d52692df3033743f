"""Seeded features to measure on, and the time and memory that a call takes."""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ncrepro.store.memory import peak_mb, reset_peak


class Cost(NamedTuple):
    """What one call took: wall-clock and processor seconds (the best of the repeats), and the memory it needed on top,
    in MB.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float


def gaussian_features(
    n: int, d: int, n_classes: int, out: np.ndarray | None = None, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """float32 Gaussian classes that overlap, with variances falling as 1/√j; ``out`` may be a memory map to fill."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, n_classes, n)
    means = (rng.standard_normal((n_classes, d)) * 2 / np.sqrt(d)).astype(np.float32)
    scale = (np.arange(1, d + 1) ** -0.25).astype(np.float32)
    out = np.empty((n, d), np.float32) if out is None else out
    for start in range(0, n, 8192):
        part = slice(start, start + 8192)
        out[part] = (rng.standard_normal((len(labels[part]), d), dtype=np.float32) + means[labels[part]]) * scale
    return out, labels


def relu_features(n: int, d: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """float32 features as a network's last layer gives them: non-negative, with a spectrum that decays."""
    rng = np.random.default_rng(seed)
    labels, decay = np.arange(n) % n_classes, np.arange(1, 257, dtype=np.float32) ** -0.5
    hidden = rng.standard_normal((n, 256), dtype=np.float32)
    hidden += 0.3 * rng.standard_normal((n_classes, 256), dtype=np.float32)[labels]
    mixing = rng.standard_normal((256, d), dtype=np.float32) / 16
    noise = 0.05 * rng.standard_normal((n, d), dtype=np.float32)
    return np.maximum((hidden * decay) @ mixing + noise, 0), labels


def cost(call: Callable[[], object], repeats: int = 1) -> Cost:
    """Run ``call`` a few times and keep the best times and the highest memory."""
    seconds, cpu_seconds, peaks = [], [], []
    for _ in range(repeats):
        before = reset_peak()
        start, cpu_start = time.perf_counter(), time.process_time()
        call()
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
        peaks.append(peak_mb() - before)
    return Cost(min(seconds), min(cpu_seconds), max(peaks))
