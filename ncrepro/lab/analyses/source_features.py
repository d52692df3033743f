"""Do the metrics on a model's own source tell how well it transfers? (`32_source_features`, NCTI Fig. 7)"""

from importlib.util import find_spec

import pandas as pd

from ... import metrics, ranking
from ...metrics import registry
from ...store.artifacts import Arrays
from ..experiment import Experiment, correlations, with_accuracies

POOLS = ("supervised", "selfsupervised")  # one source for all models: only then are its terms comparable
PER_CLASS = 20  # images of each source class
TERMS = {  # names in the tables -> names on the page; log_vc is the variability itself, the paper's -S_vc (Eq. 5)
    registry.joined(metric, term.name): term.label
    for metric in ("ncti", "face")
    for term in registry.METRICS[metric].terms
} | {"ncti_log_vc": "log vc, variability"}


def source_terms(arrays: Arrays, settings: list[dict]) -> list[dict[str, float]]:
    """The terms of NCTI and FaCe, and LogME."""
    data = metrics.Samples(arrays["features"], arrays["labels"])
    found = registry.flat("ncti", metrics.ncti(data, None)) | registry.flat("face", metrics.face(data, None))
    return [found | {"logme": metrics.logme(data, None)} for _ in settings]


def coupled(arrays: Arrays, settings: list[dict]) -> list[dict[str, float]]:
    """F-OTCE: the source's samples coupled with the target's."""
    source = metrics.Samples(arrays["source_features"], arrays["source_labels"])
    return [{"otce": metrics.otce(source, arrays["features"], arrays["labels"])} for _ in settings]


def of_pool(study: Experiment) -> pd.DataFrame:
    """Each model's terms on its source, and on the targets: (model, target, features, metric, score, accuracy).

    ``features``: "source" (the same score for every target), "target", or "both" (F-OTCE, where its package is there).
    Of NCTI and FaCe also the totals; among the source's metrics also `registry.BLIND`.
    """
    scores, accuracies = study.ranked()
    measured = study.measure_source(source_terms, [{}], PER_CLASS)
    on_source = with_totals(measured.pivot(index="model", columns="term", values="score").loc[accuracies.index])
    long = on_source.melt(ignore_index=False, var_name="metric", value_name="score").reset_index()
    source = pd.concat([long.assign(target=target) for target in accuracies])
    blind = scores[scores["metric"].isin(registry.BLIND)]
    terms = study.read("scores").query("metric in ['ncti', 'face'] and term != 'total'")
    terms = terms.assign(metric=[registry.joined(*name) for name in zip(terms["metric"], terms["term"], strict=True)])
    target = pd.concat([terms.drop(columns="term"), scores[scores["metric"].isin(["ncti", "face", "logme"])]])
    tables = [source.assign(features="source"), blind.assign(features="source"), target.assign(features="target")]
    if find_spec("ot"):
        both = study.measure_both(coupled, [{}], PER_CLASS).rename(columns={"term": "metric"})
        tables.append(both.assign(features="both"))
    else:
        print("F-OTCE is left out, because it needs the package POT; to have it, `pip install pot`")
    whole = with_accuracies(pd.concat(tables), accuracies)
    return whole[["model", "target", "features", "metric", "score", "accuracy"]]


def with_totals(terms: pd.DataFrame) -> pd.DataFrame:
    """``terms`` (models x `TERMS`) with columns ``ncti`` and ``face``: their totals over these models."""
    return terms.assign(**{metric: ranking.total(_of(metric, terms)) for metric in ("ncti", "face")})


def _of(metric: str, terms: pd.DataFrame) -> pd.DataFrame:
    """The columns of one metric, named as its terms."""
    names = {name: term for name in terms for of, term in [registry.split(name)] if of == metric}
    return terms[list(names)].rename(columns=names)


def accuracies_of(scores: pd.DataFrame) -> pd.DataFrame:
    """The accuracies in a pool's scores, models x targets."""
    accuracies = scores.drop_duplicates(["model", "target"]).pivot(index="model", columns="target", values="accuracy")
    return accuracies.loc[scores["model"].unique(), scores["target"].unique()]


def agreement(scores: pd.DataFrame) -> pd.DataFrame:
    """`experiment.correlations` with ``features`` as a column more; the intervals are of other models only."""
    accuracies, groups = accuracies_of(scores), scores.groupby("features", sort=False)
    tables = [correlations(group, accuracies).assign(features=features) for features, group in groups]
    return pd.concat(tables, ignore_index=True)
