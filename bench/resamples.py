"""``python -m bench.resamples N D K RESAMPLES``: what `ncrepro.rank` of two models' features takes, as JSON on standard
output.
"""

import json
import sys
import time


def main(n: int, d: int, n_classes: int, n_bootstrap: int) -> None:
    from bench.measure import relu_features

    pool = {f"model{seed}": relu_features(n, d, n_classes, seed)[0] for seed in range(2)}
    labels = relu_features(n, d, n_classes)[1]
    spent = []
    for _ in range(2):
        started = time.process_time()
        import ncrepro  # what a first call loads is a part of it

        ncrepro.rank(pool, labels=labels, n_bootstrap=n_bootstrap, cache=False, progress=False)
        spent.append(time.process_time() - started)
    shape = {"n_samples": n, "n_features": d, "n_classes": n_classes, "n_bootstrap": n_bootstrap}
    print(json.dumps(shape | {"cpu_seconds": spent[0], "again_cpu_seconds": spent[1]}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
