"""The bench runs, writes its tables, and compares with a plain evaluation that gives the same scores."""

import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest

import bench.__main__ as cli
from bench import cluster, plain
from bench.measure import cost, gaussian_features
from ncrepro import metrics


@pytest.mark.parametrize("name", cli.PLAIN)
def test_the_plain_evaluation_gives_the_same_score(name):
    features, labels = gaussian_features(250, 70, 4)
    assert getattr(metrics, name)(features, labels) == pytest.approx(getattr(plain, name)(features, labels), rel=1e-4)


def test_features_to_measure_on_are_the_same_every_time():
    features, labels = gaussian_features(9000, 3, 4)
    again, _ = gaussian_features(9000, 3, 4, out=np.empty((9000, 3), np.float32))
    assert (features == again).all() and set(labels) == {0, 1, 2, 3}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the peak of a process cannot be started anew")
def test_memory_of_a_call_is_that_which_it_holds_at_most():
    spent = cost(lambda: np.ones(30_000_000))
    assert 200 < spent.peak_mb < 300


def test_a_run_of_the_bench_writes_every_table_and_the_figure(tmp_path):
    matplotlib.use("Agg")
    cli.main(["--size", "smoke", "--results", str(tmp_path), "--figures", str(tmp_path)])
    tables = {path.stem: pd.read_csv(path) for path in tmp_path.glob("*.csv")}
    assert set(tables) - {"on_the_gpu"} == {
        "scaling", "against_plain", "grid", "resamples", "pairs", "out_of_core", "imagenet_size", "extraction",
        "cluster", "cluster_schedule", "goals", "exponents"
    }  # fmt: skip
    assert set(tables["extraction"]["loop"]) == {"network_alone", "ours", "released_way"}
    assert set(tables["scaling"]["metric"]) == {*cli.METRICS, *cli.SLOW, "all_scores"}
    assert not tables["goals"].isna().any(axis=None) and len(tables["goals"]) >= 15
    grid = tables["grid"]
    assert (grid["svds"].notna() == (grid["n_samples"] <= grid["n_features"])).all() and (grid["grams"] > 0).all()
    imagenet = tables["imagenet_size"]
    assert imagenet["measured"].tolist() == [True, True, False] and imagenet["n_samples"].iloc[-1] == cli.IMAGENET
    assert (tables["cluster"]["measured"] > 0).all() and tables["cluster"]["unit"].tolist() == ["s", "ms"]
    hours = tables["cluster_schedule"]["hours"]
    assert hours.is_monotonic_decreasing and tables["cluster_schedule"]["efficiency"].between(0, 1).all()
    assert tables["resamples"]["n_bootstrap"].tolist() == [0, 50]
    assert set(tables["exponents"]["axis"]) == {"n_samples", "n_features", "n_classes", cli.WIDE}
    assert (tables["scaling"][["seconds", "gram_seconds"]] > 0).all(axis=None)
    assert (tmp_path / "metrics_cost.png").stat().st_size > 10_000


def _made(copy, variables):
    table = copy.folder / "data/results/classroom/pool/scores.csv"
    table.parent.mkdir(parents=True)
    table.write_text("a\n1\n")
    (table.parent / "seconds_score.csv").write_text(str(variables))  # times may differ
    return 0, ""


def test_the_bench_of_a_cluster_times_the_profile_with_no_one_and_two_workers(monkeypatch):
    calls = []
    monkeypatch.setattr(
        cluster.Copy, "make", lambda copy, variables: (calls.append(variables), _made(copy, variables))[1]
    )
    rows = list(cluster.speed_up("classroom", 2))
    assert calls == [{}, {"NCREPRO_CLUSTER": "local:1"}, {"NCREPRO_CLUSTER": "local:2"}]
    assert [row["workers"] for row in rows] == [0, 1, 2] and all(row["seconds"] > 0 for row in rows)


def test_the_bench_of_a_cluster_takes_no_other_tables(monkeypatch):
    def make(copy, variables):
        _made(copy, variables)
        if variables:
            (copy.folder / "data/results/classroom/pool/scores.csv").write_text("a\n2\n")
        return 0, ""

    monkeypatch.setattr(cluster.Copy, "make", make)
    with pytest.raises(RuntimeError, match="with 1 workers the tables of classroom are others"):
        list(cluster.speed_up("classroom", 1))


def test_exponents_are_the_slopes_of_a_power_law():
    sizes = np.array([10, 20, 40])
    rows = {"axis": "n_samples", "metric": "ncti", "n_samples": sizes, "cpu_seconds": 3e-6 * sizes**1.5}
    fitted = cli.exponents(pd.DataFrame(rows))
    assert fitted["exponent"].tolist() == pytest.approx([1.5])
    fitted = cli.exponents(pd.DataFrame(rows | {"axis": cli.WIDE}))
    assert fitted["axis"].tolist() == [cli.WIDE] and fitted["exponent"].tolist() == pytest.approx([1.5])


def test_what_was_not_measured_is_in_proportion_to_what_was():
    row = {"n_samples": 20, "n_features": 5, "seconds": 9.0, "cpu_seconds": 5.0, "file_mb": 4.0, "peak_mb": 9.0}
    found = cli.extrapolated(row, 400)
    assert found["cpu_seconds"] == pytest.approx(100) and found["file_mb"] == pytest.approx(80)
    assert found["n_samples"] == 400 and found["n_features"] == 5 and found["measured"] is False
    assert np.isnan(found["seconds"]) and np.isnan(found["peak_mb"])
