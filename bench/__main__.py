"""``python -m bench``: time and memory of every metric, beside one ``X.T @ X`` and beside a plain evaluation.

Writes tables to ``data/results/bench`` and a figure to ``figures/bench``. All sections of one size run one after
another in one process (but the memory map, which has its own), so ratios within a table compare like with like;
absolute times are those of the machine and of whatever else ran on it. Other programs that run at the same time change
``cpu_seconds`` less than ``seconds``.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_info, threadpool_limits

from bench import plain
from bench.measure import cost, gaussian_features, relu_features
from ncrepro import metrics
from ncrepro.metrics import registry
from ncrepro.metrics._gaussians import bhattacharyya
from ncrepro.store import paths

IMAGENET = 1_200_000  # images in the size of its training split

# What the sections run on: sweeps along each axis about a base, the largest cases, and the sizes for the plain
# evaluation, the pairs, the sweep with no more samples than features, usual rankings, the resamples and the memory
# maps.
SIZES = {
    "smoke": dict(
        base=(400, 24, 4), n=(200, 400), d=(12, 24), K=(2, 4), corners=[(400, 24, 4)], plain=(300, 70, 3), pairs=(6, 4),
        wide=((20, 40), 64, 4), grid=[(20, 40, 2), (60, 30, 3)], rank=(30, 40, 3),
        map=(1000, 2000, 16, 4), slow=(200, 8, 2), repeats=1, extraction=(("squeezenet1_1",), 1, 4),
        imagenet=(1000, 2000, 16, 10), jobs=20, profile=None,
    ),
    "quick": dict(
        base=(8000, 256, 40), n=(2000, 4000, 8000, 16000), d=(64, 128, 256, 512), K=(10, 20, 40, 80),
        corners=[(10000, 1024, 100)], plain=(5000, 512, 50), pairs=(150, 64),
        wide=((64, 128, 256), 256, 10), grid=[(200, 512, 10), (600, 1280, 10), (2000, 512, 10)], rank=(200, 512, 10),
        map=(50000, 400000, 128, 20), slow=(2000, 32, 5), repeats=2, extraction=(("mobilenet_v2",), 2),
        imagenet=(15000, 60000, 2048, 1000), jobs=200, profile="smoke",
    ),
    "full": dict(
        base=(20000, 1024, 100), n=(5000, 10000, 20000, 50000), d=(256, 512, 1024, 2048), K=(10, 30, 100, 397),
        corners=[(50000, 2048, 100), (50000, 2048, 397)], plain=(50000, 2048, 100), pairs=(397, 64),
        wide=((128, 256, 512, 1024), 1024, 10), rank=(600, 1280, 10),
        grid=[(200, 512, 10), (600, 1280, 10), (1000, 2048, 100), (4000, 2048, 100), (10000, 2048, 100)],
        map=(125000, 1000000, 2048, 100), slow=(5000, 64, 10), repeats=3, extraction=(("resnet50", "mobilenet_v2"), 3),
        imagenet=(15000, IMAGENET, 2048, 1000), jobs=200, profile="classroom",
    ),
}  # fmt: skip
OF_FEATURES = [name for name, metric in registry.METRICS.items() if metric.needs == registry.FEATURES]
METRICS = [name for name in OF_FEATURES if not registry.METRICS[name].slow]
SLOW = [name for name in OF_FEATURES if registry.METRICS[name].slow]
WIDE = "n_samples, n <= d"
PLAIN = [name for name in registry.METRICS if hasattr(plain, name)]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--size", choices=SIZES, default="full", help="how large; quick takes a minute or two (default: full)"
    )
    parser.add_argument("--threads", type=int, help="threads of the linear algebra (default: as the environment says)")
    parser.add_argument(
        "--only", choices=SECTIONS, nargs="+", default=list(SECTIONS), help="sections to run (default: all)"
    )
    parser.add_argument("--results", type=Path, default=paths.results("bench"), help="folder of the tables")
    parser.add_argument("--figures", type=Path, default=paths.figures("bench"), help="folder of the figure")
    options = parser.parse_args(arguments)
    options.results.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(options.threads), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*no more samples than features")
        for name in options.only:
            print(f"{name} ({options.size})", flush=True)
            table = pd.DataFrame(SECTIONS[name](SIZES[options.size]))
            if not table.empty:
                table.insert(0, "threads", max(pool["num_threads"] for pool in threadpool_info()))
                table.to_csv(options.results / f"{name}.csv", index=False, float_format="%.6g")
                print(table.to_string(index=False), flush=True)
    summarise(options.results, options.figures)


# ----------------------------------------------------------------------------------------------------- the sections


def scaling(size: dict) -> Iterator[dict]:
    """Every metric alone and all at once, along each axis about the base and at the corners; the slow ones at one
    size.
    """
    n, d, n_classes = size["base"]
    cases = [("n_samples", (value, d, n_classes)) for value in size["n"]]
    cases += [("n_features", (n, value, n_classes)) for value in size["d"]]
    cases += [("n_classes", (n, d, value)) for value in size["K"]]
    few, d, n_classes = size["wide"]
    cases += [(WIDE, (value, d, n_classes)) for value in few]
    cases += [("corner", case) for case in size["corners"]]
    for axis, case in cases:
        features, labels = gaussian_features(*case)
        yield from _costs(axis, case, features, labels, size["repeats"])
    features, labels = gaussian_features(*size["slow"])
    for name in SLOW:
        print(f"  {size['slow']} {name}", flush=True)
        yield _row("slow", size["slow"], name, cost(partial(getattr(metrics, name), features, labels)), features)


def _costs(axis: str, case: tuple, features: np.ndarray, labels: np.ndarray, repeats: int) -> Iterator[dict]:
    calls = {name: partial(getattr(metrics, name), features, labels) for name in METRICS}
    calls["all_scores"] = partial(metrics.all_scores, features, labels, nleep=False)
    for name, call in calls.items():
        print(f"  {axis} {case} {name}", flush=True)
        yield _row(axis, case, name, cost(call, repeats), features, repeats)


def _row(axis: str, case: tuple, metric: str, spent, features: np.ndarray, repeats: int = 1) -> dict:
    gram = cost(
        lambda: features.T @ features, repeats
    )  # measured again beside every metric: the machine may be busier by now
    return {
        "axis": axis,
        **dict(zip(("n_samples", "n_features", "n_classes"), case, strict=True)),
        "metric": metric,
        **spent._asdict(),
        "gram_seconds": gram.seconds,
        "gram_cpu_seconds": gram.cpu_seconds,
        "ratio": spent.seconds / gram.seconds,
        "cpu_ratio": spent.cpu_seconds / gram.cpu_seconds,
    }


def against_plain(size: dict) -> Iterator[dict]:
    """Each metric beside its plain evaluation, and the scores of both."""
    features, labels = gaussian_features(*size["plain"])
    for name in PLAIN:
        print(f"  {name}", flush=True)
        results = {}
        ours = cost(lambda: results.update(ours=getattr(metrics, name)(features, labels)))
        theirs = cost(lambda: results.update(plain=getattr(plain, name)(features, labels)))
        ours_scores, plain_scores = np.ravel(results["ours"]), np.ravel(results["plain"])
        yield {
            **dict(zip(("n_samples", "n_features", "n_classes"), size["plain"], strict=True)), "metric": name,
            "seconds": ours.seconds, "cpu_seconds": ours.cpu_seconds, "peak_mb": ours.peak_mb,
            "plain_seconds": theirs.seconds, "plain_cpu_seconds": theirs.cpu_seconds, "plain_peak_mb": theirs.peak_mb,
            "speedup": theirs.seconds / ours.seconds, "cpu_speedup": theirs.cpu_seconds / ours.cpu_seconds,
            "largest_relative_difference": float(abs(ours_scores / plain_scores - 1).max()),
        }  # fmt: skip
    print("  all_scores", flush=True)
    together = cost(lambda: metrics.all_scores(features, labels, nleep=False))
    yield {
        **dict(zip(("n_samples", "n_features", "n_classes"), size["plain"], strict=True)),
        "metric": "all_scores",
        **together._asdict(),
    }


def grid(size: dict) -> Iterator[dict]:
    """Every metric at the sizes that people rank with, beside NumPy's thin singular value decomposition of the same
    centred features, beside one ``X.T @ X``, and beside the plain evaluation.
    """
    for case in size["grid"]:
        features, labels = relu_features(*case)
        centred = features - features.mean(axis=0)
        calls = {name: partial(getattr(metrics, name), features, labels) for name in OF_FEATURES if name != "nleep"}
        calls["all_scores"] = partial(metrics.all_scores, features, labels, nleep=False)
        for name, call in calls.items():
            print(f"  {case} {name}", flush=True)
            # one after the other, so that company slows all three alike
            rounds = [
                (cost(call), cost(partial(np.linalg.svd, centred, full_matrices=False)) if case[0] <= case[1] else None,
                 cost(lambda: features.T @ features))
                for _ in range(size["repeats"] + (5 if case[0] < 500 else 0))
            ]  # fmt: skip
            ours, svd, gram = (
                min(spent.cpu_seconds for spent in part) if part[0] else np.nan for part in zip(*rounds, strict=True)
            )
            beside = name in PLAIN and case[0] <= case[1]
            theirs = cost(partial(getattr(plain, name), features, labels)).cpu_seconds if beside else np.nan
            yield {
                **dict(zip(("n_samples", "n_features", "n_classes"), case, strict=True)),
                "metric": name,
                "cpu_seconds": ours,
                "svd_cpu_seconds": svd,
                "gram_cpu_seconds": gram,
                "plain_cpu_seconds": theirs,
                "svds": ours / svd,
                "grams": ours / gram,
            }


def resamples(size: dict) -> Iterator[dict]:
    """``ncrepro.rank`` of two models' features, in a process of its own as people call it, and once more in the
    same.
    """
    here = Path(__file__).parents[1]
    for n_bootstrap in (0, 50):
        print(f"  {n_bootstrap} resamples", flush=True)
        command = [sys.executable, "-m", "bench.resamples", *map(str, (*size["rank"], n_bootstrap))]
        yield json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=here).stdout)


def pairs(size: dict) -> Iterator[dict]:
    """Bhattacharyya distances of all pairs of classes."""
    n_classes, q = size["pairs"]
    rng = np.random.default_rng(0)
    means, roots = rng.standard_normal((n_classes, q)), rng.standard_normal((n_classes, q, 2 * q))
    full = roots @ roots.swapaxes(1, 2) / (2 * q)
    diagonal = np.diagonal(full, axis1=1, axis2=2)
    for name, covariances in {"full": full, "diagonal": diagonal, "spherical": diagonal[:, :1]}.items():
        spent = cost(lambda: bhattacharyya(means, covariances), size["repeats"])
        yield {"n_classes": n_classes, "n_features": q, "covariance": name, **spent._asdict()}


def out_of_core(size: dict) -> Iterator[dict]:
    """All scores of a memory map, small and large: the memory they take and how the time grows."""
    yield from _of_maps(*size["map"])


def imagenet_size(size: dict) -> Iterator[dict]:
    """All scores of the features of ImageNet's images by a ResNet-50, 9.8 GB on disk. If fewer samples are measured,
    the cost of all is estimated from them.
    """
    measured = [row | {"measured": True} for row in _of_maps(*size["imagenet"])]
    yield from measured
    if measured and measured[-1]["n_samples"] < IMAGENET:
        yield extrapolated(measured[-1], IMAGENET)


def extrapolated(row: dict, n_samples: int) -> dict:
    """An upper bound of the processor time that ``n_samples`` take, in proportion to a row of `_of_maps`.

    Every pass over the samples is linear in their number, and work that is done once (matrices of the features, pairs
    of classes) is counted as if it grew, too. Wall-clock time and memory are not estimated: other programs change the
    first, and `out_of_core` measures the second.
    """
    more = {key: row[key] * n_samples / row["n_samples"] for key in ("cpu_seconds", "file_mb")}
    return {**row, **more, "n_samples": n_samples, "seconds": np.nan, "peak_mb": np.nan, "measured": False}


def _of_maps(few: int, many: int, d: int, n_classes: int) -> Iterator[dict]:
    """All scores of the first few and of all samples of one memory map, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        if shutil.disk_usage(folder).free < 1.1 * many * d * 4:
            print(f"  skipped: {folder} has no room for {many * d * 4 / 1e9:.1f} GB")
            return
        mapped = np.lib.format.open_memmap(Path(folder) / "features.npy", mode="w+", dtype=np.float32, shape=(many, d))
        _, labels = gaussian_features(many, d, n_classes, out=mapped)
        np.save(Path(folder) / "labels.npy", labels)
        mapped.flush()
        del mapped
        for n in (few, many):
            print(f"  {n} samples", flush=True)
            command = [sys.executable, "-W", "ignore", "-m", "bench.outofcore", folder, str(n)]
            here = Path(__file__).parents[1]  # so that both packages are found
            yield json.loads(subprocess.run(command, check=True, capture_output=True, text=True, cwd=here).stdout)


def on_the_gpu(size: dict) -> Iterator[dict]:
    """All scores of features that lie on the GPU, where there is one."""
    torch = __import__("torch") if find_spec("torch") else None
    if torch is None or not torch.cuda.is_available():
        print("  no GPU")
        return
    features, labels = gaussian_features(*size["plain"])
    expected = metrics.all_scores(features, labels, nleep=False)
    tensor, scores = torch.tensor(features).cuda(), {}
    spent = cost(lambda: scores.update(metrics.all_scores(tensor, labels, nleep=False)), size["repeats"] + 1)
    difference = max(abs(scores[name] / expected[name] - 1) for name in expected)
    yield {
        "device": torch.cuda.get_device_name(),
        **dict(zip(("n_samples", "n_features", "n_classes"), size["plain"], strict=True)),
        **spent._asdict(),
        "largest_relative_difference": difference,
    }


def feature_extraction(size: dict) -> Iterator[dict]:
    """Images per second through published networks, with random weights: our loop, the network alone, the released
    way.
    """
    if find_spec("torchvision") is None:
        print("  no torchvision")
        return
    from bench import extraction  # needs what the metrics do without

    yield from extraction.measure(*size["extraction"]).to_dict("records")


def on_a_cluster(size: dict) -> Iterator[dict]:
    """The time to start two workers, and what an empty job costs on them."""
    if find_spec("distributed") is None:
        print("  no dask.distributed")
        return
    from bench import cluster  # needs what the metrics do without

    yield from cluster.measure(size["jobs"])


def cluster_speed(size: dict) -> Iterator[dict]:
    """A whole profile without a cluster, and with one worker and two."""
    if size["profile"] is None or find_spec("distributed") is None:
        print("  takes minutes" if find_spec("distributed") else "  no dask.distributed")
        return
    from bench import cluster

    yield from cluster.speed_up(size["profile"], 2)


def cluster_schedule(size: dict) -> Iterator[dict]:
    """The paper's profile on more and more GPUs, by the estimates."""
    if find_spec("torchvision") is None:
        print("  no torchvision")
        return
    from bench import cluster

    yield from cluster.schedule("paper")


SECTIONS = {
    "scaling": scaling,
    "against_plain": against_plain,
    "grid": grid,
    "resamples": resamples,
    "pairs": pairs,
    "out_of_core": out_of_core,
    "imagenet_size": imagenet_size,
    "on_the_gpu": on_the_gpu,
    "extraction": feature_extraction,
    "cluster": on_a_cluster,
    "cluster_speed": cluster_speed,
    "cluster_schedule": cluster_schedule,
}

# ------------------------------------------------------------------------------------------------------ the summary


def exponents(table: pd.DataFrame) -> pd.DataFrame:
    """How the processor time of each metric grows along each axis: the slope of a line through the logarithms."""
    rows = []
    for (axis, metric), group in table[table["axis"].str.startswith("n_")].groupby(["axis", "metric"], sort=False):
        slope = np.polyfit(np.log(group[axis.split(",")[0]]), np.log(group["cpu_seconds"]), 1)[0]
        rows.append({"axis": axis, "metric": metric, "exponent": slope})
    return pd.DataFrame(rows)


def goals(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """What was aimed at and what was measured, for the sections that have been run."""
    rows = []

    def add(what: str, unit: str, goal: float, measured: float, at_least: bool = False) -> None:
        met = measured >= goal if at_least else measured <= goal
        rows.append({"what": what, "unit": unit, "goal": goal, "measured": measured, "met": met})

    if "scaling" in tables:
        table = tables["scaling"]
        corner = table[table["axis"] == "corner"].drop_duplicates("metric").set_index("metric")
        for name, goal in [("all_scores", 3.3), ("ncti", 1.5)]:
            add(f"{name}, {_shape(corner.loc[name])}", "X.T @ X", goal, corner.loc[name, "ratio"])
            add(f"{name}, {_shape(corner.loc[name])}, processor time", "X.T @ X", goal, corner.loc[name, "cpu_ratio"])
    if "against_plain" in tables:
        table = tables["against_plain"].set_index("metric")
        together = table.loc["all_scores"]
        battery = table.loc[["ncti", "logme", "sfda", "h_score", "gbc"]]
        for prefix, note in [("", ""), ("cpu_", ", processor time")]:
            speedup = battery[f"plain_{prefix}seconds"].sum() / together[f"{prefix}seconds"]
            add(
                f"plain NCTI + LogME + SFDA + H-score + GBC over all_scores, {_shape(together)}{note}",
                "times",
                10,
                speedup,
                True,
            )
    if "grid" in tables:
        table = tables["grid"][tables["grid"]["metric"].isin(("all_scores", "ncti"))]
        for _, row in table.iterrows():
            wide = row["n_samples"] <= row["n_features"]
            goal = {"ncti": 0.5 if wide else 2, "all_scores": 1.5 if wide else 4.5}[row["metric"]]
            what = f"{row['metric']}, {_shape(row)}, processor time"
            add(what, "thin SVDs" if wide else "X.T @ X", goal, row["svds" if wide else "grams"])
    if "resamples" in tables:
        none, some = tables["resamples"].to_dict("records")
        for column, note in [("cpu_seconds", "in a process of its own"), ("again_cpu_seconds", "called again")]:
            what = f"rank with {some['n_bootstrap']} resamples over rank with none, {_shape(pd.Series(some))}, {note}"
            add(what + ", processor time", "times", 1.5, some[column] / none[column])
    if "pairs" in tables:
        full = tables["pairs"].set_index("covariance").loc["full"]
        what = f"Bhattacharyya distances of {full['n_classes']:.0f} classes, {full['n_features']:.0f} dimensions, full"
        add(what, "s", 2, full["seconds"])
        add(what + ", processor time", "s", 2, full["cpu_seconds"])
    if "out_of_core" in tables:
        few, many = tables["out_of_core"].to_dict("records")
        add(f"peak memory for a map of {many['file_mb']:.0f} MB", "MB", 1500, many["peak_mb"])
        growth = many["n_samples"] / few["n_samples"]
        for prefix, note in [("", ""), ("cpu_", ", processor time")]:
            ratio = many[f"{prefix}seconds"] / few[f"{prefix}seconds"] / growth
            add(f"time of {growth:.0f} times the samples{note}", "of linear", 1.3, ratio)
    if "on_the_gpu" in tables:
        gpu = tables["on_the_gpu"].iloc[0]
        add(f"all_scores on {gpu['device']}, {_shape(gpu)}", "s", 0.5, gpu["seconds"])
        add("largest relative difference between GPU and CPU", "", 1e-3, gpu["largest_relative_difference"])
    if "extraction" in tables:
        for name, group in tables["extraction"].groupby("model", sort=False):
            loops = group.set_index("loop")["of_network"]
            add(f"extraction by {name} against the forward pass alone", "of its speed", 0.95, loops["ours"], True)
            if "cuda" in set(group["device"]):
                times = loops["ours"] / loops["released_way"]
                add(f"extraction by {name} on the GPU over the released way", "times", 2, times, True)
    return pd.DataFrame(rows)


def _shape(row: pd.Series) -> str:
    return f"{row['n_samples']:.0f} × {row['n_features']:.0f}, K = {row['n_classes']:.0f}"


def summarise(results: Path, figures: Path) -> None:
    """Exponents, goals and the figure, from whatever tables lie in ``results``."""
    tables = {name: pd.read_csv(results / f"{name}.csv") for name in SECTIONS if (results / f"{name}.csv").exists()}
    summary = goals(tables)
    summary.to_csv(results / "goals.csv", index=False, float_format="%.4g")
    print(summary.to_string(index=False))
    if "scaling" in tables:
        fitted = exponents(tables["scaling"])
        fitted.to_csv(results / "exponents.csv", index=False, float_format="%.3f")
        print(fitted.pivot(index="metric", columns="axis", values="exponent").round(2).to_string())
    if find_spec("matplotlib") and {"scaling", "against_plain"} <= set(tables):
        from ncrepro.figures import cost, style

        style.use()
        style.save(cost.of_metrics(tables["scaling"], tables["against_plain"]), "metrics_cost", figures)


if __name__ == "__main__":
    main()
