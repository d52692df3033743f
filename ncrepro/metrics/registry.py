"""One record per metric, and per ranking that a metric has to beat; every list of them is derived from these records.

A metric is added by a function in this package, exported under its name, and a record in `METRICS`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

FEATURES, SOURCE_PROBS, SOURCE_LABELS = "features", "source_probs", "source_labels"
SOURCE_SAMPLES = "source_samples"
TOTAL = "total"  # what stands in the place of the term of a metric that is a single number


@dataclass(frozen=True)
class Term:
    """One part of a metric. Over a pool it is min-max normalised, and enters the total with its sign."""

    name: str  # the field of the tuple that the metric returns
    label: str  # its name in figures and text
    sign: int = 1  # 1 where higher is better, -1 where lower is

    @property
    def signed_label(self) -> str:
        """The term as the total adds it."""
        return self.label if self.sign > 0 else f"−{self.label}"


@dataclass(frozen=True)
class Metric:
    """What is known of one metric.

    Parameters
    ----------
    name : str
        Of the function in `ncrepro.metrics`, and of the metric in every table.
    label : str
        Its name in figures and text.
    source : str
        Where it comes from, as the docstring of the function says.
    terms : tuple of Term
        In the order in which the function returns them; none for a metric that is a single number, higher is better.
    needs : {"features", "source_probs", "source_labels", "source_samples"}
        The first argument of the function; the second and third take a model with a source classifier, the last takes
        labelled samples of what the model was trained on.
    of_statistics : bool
        Whether `ncrepro.metrics.ClassStatistics` will do in the place of features.
    slow : bool
        Whether it looks at the samples in a way of its own (pairs, folds, mixtures), and takes long beside the metrics
        that share their statistics: `ncrepro.metrics.all_scores` can leave these out.
    beside : bool
        Whether it is in the tables, and in `35_which_metric`, but not among the competitors in the figures of the other
        notebooks: these are the metrics that the two papers compare or build on, and a claim about the best of them
        must not change because one more is measured.
    """

    name: str
    label: str
    source: str
    terms: tuple[Term, ...] = ()
    needs: str = FEATURES
    of_statistics: bool = False
    slow: bool = False
    beside: bool = False

    @property
    def needs_source_classifier(self) -> bool:
        """Whether it takes a model's probabilities of its source classes."""
        return self.needs in (SOURCE_PROBS, SOURCE_LABELS)


@dataclass(frozen=True)
class Baseline:
    """What a metric has to beat."""

    name: str
    label: str
    blind: bool = True  # never looks at the target's features


def _by_name(*records: Metric | Baseline) -> dict:
    return {record.name: record for record in records}


_NCTI = (Term("seli", "seli"), Term("ncc", "ncc"), Term("log_vc", "log vc", sign=-1))
_ETRAN = (Term("energy", "energy"), Term("classification", "LDA"))
_FACE = (Term("variance_collapse", "VC"), Term("class_fairness", "CF"))

METRICS: dict[str, Metric] = _by_name(  # in the order of `ncrepro.metrics.all_scores`
    Metric("ncti", "NCTI", "Wang et al., ICCV 2023, Eq. 5-13", _NCTI),
    Metric("face", "FaCe", "Ding et al., 2023, Eq. 2-6, https://arxiv.org/abs/2310.05754", _FACE),
    Metric("logme", "LogME", "You et al., ICML 2021, https://arxiv.org/abs/2102.11005", of_statistics=True),
    Metric("sfda", "SFDA", "Shao et al., ECCV 2022, https://arxiv.org/abs/2207.03036"),
    Metric("h_score", "H-score", "Bao et al., ICIP 2019, https://arxiv.org/abs/2212.10082", of_statistics=True),
    Metric(
        "regularized_h_score",
        "regularised H-score",
        "Ibrahim et al., 2021, https://arxiv.org/abs/2110.06893",
        of_statistics=True,
    ),
    Metric("transrate", "TransRate", "Huang et al., ICML 2022, https://arxiv.org/abs/2106.09362"),
    Metric("gbc", "GBC", "Pándy et al., CVPR 2022, https://arxiv.org/abs/2111.12780"),
    Metric(
        "etran", "ETran", "Gholami et al., ICCV 2023, https://arxiv.org/abs/2308.02027", _ETRAN, slow=True, beside=True
    ),
    Metric("parc", "PARC", "Bolya et al., NeurIPS 2021, https://arxiv.org/abs/2111.06977", slow=True, beside=True),
    Metric("knn", "kNN", "Bolya et al., NeurIPS 2021, as a baseline", slow=True, beside=True),
    Metric("linear_probe", "linear probe", "Alain and Bengio, 2016, https://arxiv.org/abs/1610.01644", slow=True),
    Metric("nleep", "NLEEP", "Li et al., CVPR 2021, https://arxiv.org/abs/2011.11200", slow=True),
    Metric("leep", "LEEP", "Nguyen et al., ICML 2020, https://arxiv.org/abs/2002.12462", needs=SOURCE_PROBS),
    Metric("nce", "NCE", "Tran et al., ICCV 2019, https://arxiv.org/abs/1908.08142", needs=SOURCE_LABELS),
    Metric(
        "otce",
        "F-OTCE",
        "Tan et al., CVPR 2021, https://arxiv.org/abs/2103.13843",
        needs=SOURCE_SAMPLES,
        slow=True,
        beside=True,
    ),
)

# Metrics with other options than the default, which the experiments measure beside the others.
VARIANTS: dict[str, Metric] = _by_name(
    Metric("face_printed", "FaCe, Eq. 6 as printed", "face with include_self=True", _FACE)
)

BASELINES: dict[str, Baseline] = _by_name(
    Baseline("static_baseline", "static baseline"),
    Baseline("source_accuracy", "source accuracy"),
    Baseline("n_parameters", "number of parameters"),
    Baseline("linear_probe", METRICS["linear_probe"].label, blind=False),  # a metric that also serves as a baseline
)
BLIND = tuple(baseline.name for baseline in BASELINES.values() if baseline.blind)

# The metrics that a paper compares, in the order of its tables.
COMPARED = {
    "ncti": ("nce", "leep", "logme", "nleep", "sfda", "ncti"),
    "face": ("leep", "nce", "logme", "h_score", "gbc", "face"),
}


def beside() -> list[str]:
    """The metrics that are in the tables, but no competitors in the figures."""
    return [name for name, metric in METRICS.items() if metric.beside]


def of_statistics() -> list[str]:
    """The metrics that can be had from merged `ncrepro.metrics.ClassStatistics`."""
    return [name for name, metric in METRICS.items() if metric.of_statistics]


def several_terms() -> dict[str, Metric]:
    """The metrics and variants whose total depends on the pool, since their terms are normalised over it."""
    return {name: metric for name, metric in (METRICS | VARIANTS).items() if metric.terms}


def term_names(metric: str) -> tuple[str, ...]:
    """What the terms of a metric are called; none for a metric that is a single number."""
    return tuple(term.name for term in (METRICS | VARIANTS)[metric].terms)


def columns(metrics: Iterable[str]) -> list[tuple[str, str]]:
    """Every term with its metric; a metric that is a single number is its own term."""
    return [(metric, term) for metric in metrics for term in term_names(metric) or (metric,)]


def sign(term: str) -> float:
    """The sign of a term in a total: -1.0 where lower is better, else 1.0, also for terms that are not known here."""
    signs = {known.name: known.sign for metric in several_terms().values() for known in metric.terms}
    return float(signs.get(term, 1))


def label(name: str) -> str | None:
    """What a metric, a variant or a baseline is called in figures and text; None for another name."""
    known = METRICS | VARIANTS | BASELINES
    return known[name].label if name in known else None


# (metric, term) <-> the one name of both, as in `ncrepro.metrics.all_scores` ------------------------------------------


def joined(metric: str, term: str) -> str:
    """The name of a term of a metric: ``ncti_seli``; of a metric that is a single number its own."""
    return metric if term == TOTAL else f"{metric}_{term}"


def split(name: str) -> tuple[str, str]:
    """The metric and the term that a name stands for; `TOTAL` in the place of the term for a single number."""
    pairs = [(metric, term) for metric in several_terms() for term in term_names(metric)]
    return {joined(*pair): pair for pair in pairs}.get(name, (name, TOTAL))


def flat(metric: str, value: float | tuple) -> dict[str, float]:
    """What a metric returned, number by number under its `joined` name."""
    by_term = value._asdict() if hasattr(value, "_asdict") else {TOTAL: value}
    return {joined(metric, term): number for term, number in by_term.items()}
