"""Everything that is known of a metric follows from its record: a toy metric is added by one, and found everywhere."""

import inspect
import re
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

import ncrepro
from ncrepro import metrics, ranking
from ncrepro.figures.display_names import LABELS, label
from ncrepro.lab import experiment, scoring_cost
from ncrepro.lab.analyses import subsamples
from ncrepro.metrics import registry, scores
from ncrepro.metrics.registry import METRICS, VARIANTS, Metric, Term

FUNCTIONS = {
    name: f for name in metrics.__all__ if inspect.isfunction(f := getattr(metrics, name)) and name != "all_scores"
}
Y = np.arange(60) % 3


def pool():
    rng = np.random.default_rng(0)
    return {f"m{i}": rng.normal(size=(60, 4)) + i * Y[:, None] for i in range(4)}


class ToyTerms(NamedTuple):
    gain: float
    waste: float


@pytest.fixture
def toy(monkeypatch):
    """What adding a metric takes: a function in `ncrepro.metrics`, and a record."""

    def function(features, labels):
        data = metrics.samples.samples(features, labels)
        return ToyTerms(float(data.statistics.mean[0]), float(len(data.codes) - data.statistics.mean[0] ** 2))

    record = Metric("toy", "Toy score", "nobody, 2026", (Term("gain", "gain"), Term("waste", "waste", sign=-1)))
    monkeypatch.setattr(metrics, "toy", function, raising=False)
    monkeypatch.setitem(METRICS, "toy", record)
    return function


def test_a_metric_that_is_added_is_among_the_scores(toy):
    H = pool()["m1"]
    found = metrics.all_scores(H, Y, nleep=False)
    assert list(found)[-2:] == ["toy_gain", "toy_waste"]
    assert (found["toy_gain"], found["toy_waste"]) == scores.score("toy", H, Y) == toy(H, Y)


def test_it_is_split_into_its_terms_in_the_tables_of_an_experiment(toy):
    arrays = {"toy_gain": np.array(2.0), "toy_waste": np.array(3.0), "logme": np.array(1.0), "seconds": np.array(9.0)}
    found = [(registry.split(name), value) for name, value in experiment._measured(arrays).items()]
    assert found == [(("toy", "gain"), 2.0), (("toy", "waste"), 3.0), (("logme", "total"), 1.0)]
    measured = pd.DataFrame({"model": [*"abab"], "target": "t", "draw": 0, "term": ["toy_gain"] * 2 + ["toy_waste"] * 2,
                             "score": [0.0, 1, 5, 5.5]})  # fmt: skip
    found = subsamples.total_scores(measured, ["a", "b"], ["draw"]).set_index(["metric", "model"])["score"]
    assert found.to_dict() == {("toy", "a"): 0.0, ("toy", "b"): 0.0}


def test_its_terms_enter_the_total_with_their_signs(toy):
    assert ranking.total(
        {m: ToyTerms(gain, waste) for m, gain, waste in [("a", 0, 5), ("b", 1, 5), ("c", 1, 7)]}
    ).to_dict() == {"a": 0, "b": 1, "c": 0}
    assert registry.several_terms()["toy"] == METRICS["toy"] and registry.term_names("toy") == ("gain", "waste")


def test_it_has_its_name_on_the_page(toy):
    assert label("toy") == "Toy score"


def test_it_is_timed(toy):
    calls = scoring_cost._calls({"features": pool()["m1"], "labels": Y}, {})
    assert calls[scoring_cost.OURS, "toy"]() == toy(pool()["m1"], Y) and (scoring_cost.OURS, "leep") not in calls


def test_a_reader_s_own_models_are_ranked_by_it(toy):
    table = ncrepro.rank(pool(), labels=Y, metrics=["toy", "logme"], n_bootstrap=2, progress=False).set_index("model")
    expected = ranking.total({name: toy(H, Y) for name, H in pool().items()})
    assert table["toy"].to_dict() == pytest.approx(expected.to_dict())


def test_without_its_record_it_is_unknown():
    with pytest.raises(ValueError, match="unknown metric 'toy'"):
        ncrepro.rank(pool(), labels=Y, metrics=["toy"], progress=False)


# The records say what the functions do --------------------------------------------------------------------------------


def test_every_public_metric_has_a_record_and_every_record_a_metric():
    assert set(FUNCTIONS) == set(METRICS) and not set(METRICS) & set(VARIANTS)
    assert all(
        name == record.name for records in (METRICS, VARIANTS, registry.BASELINES) for name, record in records.items()
    )


@pytest.mark.parametrize("name", METRICS)
def test_a_record_says_what_its_function_takes_and_gives(name):
    metric, function = METRICS[name], FUNCTIONS[name]
    first = next(iter(inspect.signature(function).parameters.values()))
    assert (first.name, "ClassStatistics" in str(first.annotation)) == (metric.needs, metric.of_statistics)
    value = scores.score(name, pool()["m1"], Y, np.eye(2)[Y % 2], metrics.Samples(pool()["m2"], Y))
    assert getattr(value, "_fields", ()) == registry.term_names(name)


@pytest.mark.parametrize("name", METRICS)
def test_a_record_names_the_source_that_the_module_names(name):
    source = METRICS[name].source
    code = inspect.getsource(inspect.getmodule(FUNCTIONS[name]))
    for part in re.findall(r"^\w+ et al|https://\S+|(?:ICCV|ICML|ECCV|CVPR|ICIP) \d{4}", source):
        assert re.sub(r"\s+", " ", part) in re.sub(r"\s+", " ", code)


def test_a_name_is_the_metric_and_the_term_that_it_is_split_into():
    found = metrics.all_scores(pool()["m1"], Y, np.eye(2)[Y % 2], nleep=False)
    assert [registry.joined(*registry.split(name)) for name in found] == list(found)
    assert registry.split("face_printed_class_fairness") == ("face_printed", "class_fairness")
    assert registry.split("linear_probe") == ("linear_probe", "total")


def test_no_term_has_two_signs():
    signs = {(term.name, term.sign) for metric in registry.several_terms().values() for term in metric.terms}
    assert len(signs) == len({name for name, _ in signs})


def test_the_documentation_names_every_metric():
    listed = ", ".join(name for name, metric in METRICS.items() if metric.needs != registry.SOURCE_SAMPLES)
    assert listed in " ".join(ncrepro.rank.__doc__.split())
    columns = [registry.joined(name, term) for name in METRICS for term in registry.term_names(name) or ["total"]]
    documentation = re.sub(r"[`\s]", "", metrics.all_scores.__doc__)
    assert ",".join(columns).replace(",etran", ",thenetran", 1) in documentation


def test_what_the_papers_compare_is_known_and_competes_in_the_figures():
    assert all(name in METRICS for names in registry.COMPARED.values() for name in names)
    assert not {name for names in registry.COMPARED.values() for name in names} & set(registry.beside())


def test_all_scores_leave_out_what_they_are_not_given_and_on_request_what_is_slow():
    H, probs, source = pool()["m1"], np.eye(2)[Y % 2], metrics.Samples(pool()["m2"], Y)
    arguments = [((probs,), {"source_samples": source}), ((probs,), {}), ((), {}), ((), {"nleep": False})]
    found = [metrics.all_scores(H, Y, *given, **options) for given, options in arguments]
    by_metric = [{registry.split(name)[0] for name in names} for names in found]
    of_features = {name for name, metric in METRICS.items() if metric.needs == registry.FEATURES}
    assert by_metric[0] == set(METRICS) and by_metric[0] - by_metric[1] == {"otce"}
    assert by_metric[1] - by_metric[2] == {"leep", "nce"} and by_metric[2] == of_features
    assert by_metric[2] - by_metric[3] == {"etran", "parc", "knn", "linear_probe", "nleep"}


def test_a_reader_s_own_models_are_not_ranked_by_samples_of_a_source():
    with pytest.raises(ValueError, match="'otce' needs labelled samples.*ncrepro.metrics.otce"):
        ncrepro.rank(pool(), labels=Y, metrics=["otce"], progress=False)
    table = ncrepro.rank(
        pool(), labels=Y, metrics=["etran", "parc", "knn", "linear_probe"], n_bootstrap=3, progress=False
    )
    assert table["model"].iloc[-1] == "m0" and np.isfinite(table[["low", "high"]]).all(axis=None)  # m0: all alike


def test_competitors_are_the_metrics_that_do_not_stand_beside():
    table = pd.DataFrame({"metric": ["ncti", "knn", "toy", "static_baseline", "etran", "parc", "linear_probe"]})
    assert experiment.competitors(table)["metric"].tolist() == ["ncti", "toy", "static_baseline", "linear_probe"]


def test_no_figure_names_again_what_the_registry_names():
    assert not [name for name in LABELS if registry.label(name)]
