"""All scores of a memory map much larger than the memory they may take: ``python -m bench.outofcore FOLDER N_SAMPLES``.

A process of its own, so that its peak memory is that of this work alone; it prints one JSON object.
"""

import json
import sys
from pathlib import Path

import numpy as np

from bench.measure import cost
from ncrepro import metrics
from ncrepro.store.memory import peak_mb


def main(folder: str, n_samples: str) -> None:
    n = int(n_samples)
    features = np.load(Path(folder) / "features.npy", mmap_mode="r")[:n]
    labels = np.load(Path(folder) / "labels.npy")[:n]
    spent = cost(lambda: metrics.all_scores(features, labels, nleep=False))
    result = {"seconds": spent.seconds, "cpu_seconds": spent.cpu_seconds, "peak_mb": peak_mb()}
    print(json.dumps({"n_samples": n, "n_features": features.shape[1], "file_mb": features.nbytes / 1e6, **result}))


if __name__ == "__main__":
    main(*sys.argv[1:])
