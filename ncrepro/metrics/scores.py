"""Every score of one model on one target, from shared statistics."""

from ._arrays import Array
from ._samples import samples
from .face import face
from .gbc import gbc
from .hscore import h_score, regularized_h_score
from .leep import leep, nce, source_labels
from .leep import nleep as nleep_score
from .logme import logme
from .ncti import ncti
from .sfda import sfda
from .transrate import transrate


def all_scores(
    features: Array, labels: Array, source_probs: Array | None = None, *, nleep: bool = True
) -> dict[str, float]:
    """Every metric of the package on one model and one target, with one pass for the statistics that they share.

    Parameters
    ----------
    features : array of shape (n, d)
        Penultimate-layer activations: NumPy, memory map or torch.
    labels : array of shape (n,)
        Integers or strings; at least two samples of each.
    source_probs : array of shape (n, K_s), optional
        The model's probabilities of its source classes; only with them are ``leep`` and ``nce`` among the results.
    nleep : bool
        False leaves out ``nleep``, whose mixture takes longer than all the rest.

    Returns
    -------
    dict of str to float
        ``ncti_seli, ncti_ncc, ncti_log_vc, face_variance_collapse, face_class_fairness, logme, sfda, h_score,
        regularized_h_score, transrate, gbc``, then ``nleep``, ``leep``, ``nce``. For all but ``ncti_log_vc`` higher is
        better; ranges are those of the single functions.

    Raises
    ------
    ValueError
        Whatever the single functions raise.
    """
    data = samples(features, labels)
    data.statistics.reduced  # before the first score that needs but a part of it
    scores = {f"ncti_{term}": score for term, score in ncti(data, None)._asdict().items()}
    scores |= {f"face_{term}": score for term, score in face(data, None)._asdict().items()}
    for metric in (logme, sfda, h_score, regularized_h_score, transrate, gbc):
        scores[metric.__name__] = metric(data, None)
    if nleep:
        scores["nleep"] = nleep_score(data, None)
    if source_probs is not None:
        scores["leep"] = leep(source_probs, labels)
        scores["nce"] = nce(source_labels(source_probs), labels)
    return scores
