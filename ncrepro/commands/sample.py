"""``make sample``: the committed sample of features, made anew from a profile's cache and compared with the old one."""

import numpy as np
import pandas as pd

from ..lab import committed_sample
from ..lab.experiment import Experiment
from ..store import artifacts, paths
from ..store.schema import refuse_unknown


def remake(profile: str) -> pd.DataFrame:
    """Copy the features of a profile's cache into the sample, and say for every file whether it has changed.

    Returns
    -------
    DataFrame (pool, model, source, source_accuracy, target, accuracy, n_classes, n_samples, n_features)
        Also written as ``data/sample/<profile>/provenance.csv``. ``accuracy``: fine-tuned, mean over seeds, per cent.

    Raises
    ------
    ValueError
        If the profile has no sample.
    FileNotFoundError
        If the cache does not hold the features.
    """
    refuse_unknown("profile with a sample", profile, committed_sample.CHOSEN)
    rows = []
    for pool in committed_sample.CHOSEN[profile]:
        study = Experiment(pool, profile)
        pretraining = study.read("pretraining").set_index("model")
        accuracies = study.read("accuracies").groupby(["model", "target"])["accuracy"].mean()
        for model, target in committed_sample.pairs(profile, pool):
            arrays = study.features_of(model, target)
            difference = committed_sample.pack(profile, pool, model, target, arrays)
            if difference is None:
                outcome = "new"
            else:
                outcome = f"differed by {difference:.2g}, made again" if difference else "the same"
            print(f"{pool}: {model} on {target}: {outcome}")
            n_samples, n_features = arrays["features"].shape
            rows.append({
                "pool": pool, "model": model, **pretraining.loc[model, ["source", "source_accuracy"]],
                "target": target, "accuracy": accuracies[model, target], "n_classes": len(np.unique(arrays["labels"])),
                "n_samples": n_samples, "n_features": n_features,
            })  # fmt: skip
    return artifacts.write_table(paths.sample(profile) / "provenance.csv", pd.DataFrame(rows))
