"""The published numbers: the files are whole, and the audit finds what does not hold together, by computing."""

import hashlib
import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from ncrepro.figures import charts
from ncrepro.figures import published as figures
from ncrepro.lab import published
from ncrepro.store import paths


@pytest.fixture(scope="module")
def checks():
    return published.audit()


def finding(checks, where, what):
    rows = checks[(checks["where"] == where) & checks["what"].str.contains(what, regex=False)]
    assert len(rows) == 1, f"{len(rows)} rows for {where}: {what}"
    return rows.iloc[0]


@pytest.fixture
def edited(monkeypatch):
    """Audit again after one printed value was changed."""

    def audit_with(name, value, **where):
        load = published.load

        def load_edited(table_name):
            table = load(table_name)
            if table_name == name:
                row = (table[list(where)] == pd.Series(where)).all(axis=1)
                assert row.sum() == 1
                table.loc[row, "value"] = value
            return table

        monkeypatch.setattr(published, "load", load_edited)
        return published.audit()

    return audit_with


# ---- the files -----------------------------------------------------------------------------------------------------


def test_every_file_is_described_with_its_checksum():
    readme = (paths.root() / "data" / "README.md").read_text(encoding="utf-8")
    described = dict(re.findall(r"^\| `(\w+\.csv)` .* `([0-9a-f]{16})` \|$", readme, re.MULTILINE))
    files = paths.published().glob("*.csv")
    assert described == {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in files}


@pytest.mark.parametrize(
    "name, metrics, targets",
    [
        ("ncti_table1", 6, 11),
        ("ncti_table2", 4, 11),
        ("face_table1", 6, 7),
        ("face_table2", 6, 3),
        ("face_table3", 6, 3),
    ],
)
def test_every_table_has_all_its_cells_and_one_average_per_row(name, metrics, targets):
    for statistic in published.load(name)["statistic"].unique():
        table = published.wide(name, statistic)
        assert table.shape == (metrics, targets + 1) and table.columns[-1] == "average"
        assert table.notna().all(axis=None) and table.abs().max(axis=None) <= 1


@pytest.mark.parametrize("pool, n_models", [("supervised", 11), ("selfsupervised", 12)])
def test_accuracies_are_per_cent_on_the_targets_of_the_tables(pool, n_models):
    accuracies = published.load(f"{pool}_finetuned_accuracy")
    assert accuracies.shape == (n_models, 11)
    assert set(accuracies) == set(published.wide("ncti_table1")) - {"average"}
    assert accuracies.min(axis=None) > 50 and accuracies.max(axis=None) < 100


def test_an_unknown_table_is_refused_with_the_names_that_exist():
    with pytest.raises(ValueError, match="no published table 'face_table9'.*face_table1, face_table2"):
        published.load("face_table9")


# ---- the findings --------------------------------------------------------------------------------------------------


def test_every_printed_average_is_recomputed_and_five_do_not_come_out():
    table = published.averages()
    off = table[table["units"].abs() > 0.5]
    assert len(table) == 6 + 4 + 3 * 2 * 6
    assert set(off[["table", "statistic", "metric"]].itertuples(index=False, name=None)) == {
        ("ncti_table2", "weighted_kendall", "ncti"),
        ("face_table2", "weighted_kendall", "leep"),
        ("face_table2", "pearson", "leep"),
        ("face_table3", "weighted_kendall", "logme"),
        ("face_table3", "pearson", "face"),
    }
    ncti = off[off["metric"] == "ncti"].iloc[0]
    assert ncti["printed"] == 0.719 and round(ncti["computed"], 3) == 0.718


@pytest.mark.parametrize(
    "where, what, printed, computed",
    [
        ("NCTI Section 4.3", "self-supervised models in the pool", 10, 9),
        ("NCTI Section 4.2", "gain of NCTI over SFDA", 6.9, 100 * (0.726 - 0.663)),
        ("FaCe Section 4.1", "target data sets", 7, 6),
        ("FaCe Section 4.2", "source data sets", 10, 9),
        ("FaCe Section 4.2", "models of the multi-source zoo", 30, 3 * 9),
        ("Blog", "models ranked on CIFAR-10", 12, 11),
        ("FaCe Section 4.1", "FaCe is called highest in ρ", 3, 2),
        ("FaCe Section 4.1", "highest average ρ", 0.62, (0.87 + 0.89 + 0.93 + 0.03 + 0.15 + 0.58 + 0.92) / 7),
        ("FaCe Table 2", "differ between the τ_w and the ρ block", 18, 0),
        ("FaCe Table 2 against Table 4", "average τ_w", 0.78, 0.62),
        ("FaCe Table 3", "average τ_w of logme", 0.46, (0.65 + 0.42 + 0.29) / 3),
        ("FaCe Table 3", "average ρ of face", 0.37, (0.70 + 0.68 - 0.30) / 3),
        ("FaCe Table 3 against Table 4", "average ρ", 0.37, 0.36),
        ("FaCe Algorithm 1", "class-fairness", 4, 6),
        ("NCTI Eq. 11-12, blog", "smallest value", 0, -0.732),
        ("NCTI accuracies", "within reach on cifar100", 1, 0.98611),
        ("NCTI accuracies", "within reach on dtd", 1, 0.99252),
        ("NCTI Table 1", "blind to the target", 0.726, 0.83682),
    ],
)
def test_the_audit_finds_what_does_not_hold(checks, where, what, printed, computed):
    row = finding(checks, where, what)
    assert not row["holds"]
    assert (row["printed"], row["computed"]) == pytest.approx((printed, computed), abs=5e-5)


@pytest.mark.parametrize(
    "where, what",
    [
        ("NCTI Section 4.3", "gain of NCTI over SFDA"),  # 1.5 is the relative gain
        ("NCTI Section 4.2", "best or second best"),
        ("FaCe Section 4.1", "highest average τ_w"),
        ("FaCe Table 1", "differ between the τ_w and the ρ block"),
        ("Blog", "τ_w of NCTI on CIFAR-10"),
        ("NCTI Table 1", "τ_w of NCTI on CIFAR-10"),
        ("NCTI Table 1", "marked as"),
    ],
)
def test_the_audit_confirms_what_does_hold(checks, where, what):
    assert finding(checks, where, what)["holds"]


def test_the_marks_that_do_not_fit_are_named(checks):
    assert finding(checks, "NCTI Table 2", "marked as")["note"] == (
        "flowers τ_w: ncti 0.762 comes 3. and is marked second; voc2007 τ_w: ncti 0.606 comes 2. and is not marked"
    )
    assert finding(checks, "FaCe Table 1", "marked as")["note"] == (
        "gtsrb ρ: nce 0.15 comes 3. and is marked second; gtsrb ρ: h_score 0.18 comes 2. and is not marked; "
        "stl10 ρ: logme 0.91 comes 2. and is not marked"
    )


def test_correcting_a_printed_average_removes_the_finding(edited):
    where = {"statistic": "weighted_kendall", "metric": "logme", "target": "average"}
    assert finding(edited("face_table3", 0.45, **where), "FaCe Table 3", "average τ_w of logme")["holds"]


def test_breaking_a_printed_value_makes_a_finding(edited):
    where = {"statistic": "weighted_kendall", "metric": "ncti", "target": "cifar10"}
    broken = edited("ncti_table1", 0.834, **where)
    assert not finding(broken, "NCTI Table 1", "τ_w of NCTI on CIFAR-10")["holds"]
    assert not finding(broken, "NCTI Table 1", "average τ_w of ncti")["holds"]


# ---- the figures ---------------------------------------------------------------------------------------------------


def test_the_heat_map_writes_every_value_and_sets_the_average_apart():
    table = published.wide("face_table1")
    figure = charts.correlation_heatmap({"printed": table, "ours": table.iloc[:2]}, "title")
    upper, lower = figure.axes[:2]
    expected = [f"{value:.2f}".replace("-", "−") for value in table.T.to_numpy().ravel()]
    assert [text.get_text() for text in upper.texts] == expected
    assert len(lower.texts) == 2 * 8
    ticks = upper.get_xticks()
    assert ticks[-1] - ticks[-2] == pytest.approx(1 + charts.GAP) and ticks[1] - ticks[0] == 1
    plt.close(figure)


def test_the_heat_map_leaves_missing_values_blank():
    figure = charts.correlation_heatmap(pd.DataFrame({"x": [0.5, None], "y": [0.1, 0.2]}, index=["a", "b"]), "title")
    assert [text.get_text() for text in figure.axes[0].texts] == ["0.50", "0.10", "0.20"]
    plt.close(figure)


def test_the_audit_figure_counts_and_lists_every_finding(checks):
    figure = figures.audit(checks, published.averages(), published.benchmark())
    shown = [text.get_text() for axes in figure.axes for text in axes.texts]
    broken = checks[~checks["holds"]]
    assert any(f"{len(broken)} of {len(checks)}" in sub.get_suptitle() for sub in figure.subfigs)
    for where in broken[~broken["kind"].isin(["average", "ranking"])]["where"]:
        assert where in shown
    assert {"0.837", "0.726", "0.719"} <= set(shown)
    plt.close(figure)
