"""The same scores evaluated plainly with scikit-learn and NumPy, formula by formula: what the bench compares
``ncrepro.metrics`` with.

Nothing is shared, streamed or vectorised here: a full singular value decomposition where a norm is asked for, one solve
per class where a class is asked about, a covariance matrix wherever one appears. It is the way the formulas are usually
evaluated.
"""

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis


def ncti(features: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """NCTI's (seli, ncc, log_vc): PCA, LDA, then a full SVD for every nuclear norm."""
    pca = PCA(min(64, *features.shape), svd_solver="full")
    projected = pca.fit_transform(features)
    alpha = max(np.exp(-pca.explained_variance_[:32].sum(dtype=float)), 1e-10)
    if alpha == 1e-10:
        lda = LinearDiscriminantAnalysis(solver="svd")
    else:
        lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage=float(alpha))
    discriminants = lda.fit_transform(projected, labels)
    posterior = lda.predict_proba(projected)
    seli = np.linalg.norm(discriminants - discriminants.mean(axis=0), ord="nuc")
    ncc = posterior[np.arange(len(labels)), labels].mean()
    norms = [np.linalg.norm(posterior[labels == k], ord="nuc") for k in range(labels.max() + 1)]
    return float(seli), float(ncc), float(np.log(sum(norms)))


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """LogME, one class after the other, on the full singular value decomposition of the features."""
    features = features.astype(np.float64)
    n_samples, n_features = features.shape
    left, singular, right = np.linalg.svd(features, full_matrices=False)
    sigma = singular**2
    missing = n_features - len(sigma)  # zero eigenvalues when there are fewer samples than features
    evidence = []
    for k in range(labels.max() + 1):
        target = (labels == k).astype(np.float64)
        rotated = left.T @ target
        alpha = beta = ratio = 1.0
        for _ in range(11):
            gamma = (sigma / (sigma + ratio)).sum()
            weights = right.T @ (singular * rotated / (sigma + ratio))
            residual = ((target - features @ weights) ** 2).sum()
            alpha, beta = gamma / (weights @ weights), (n_samples - gamma) / residual
            previous, ratio = ratio, alpha / beta
            if abs(ratio - previous) / previous < 1e-2:
                break
        log_det = np.log(alpha + beta * sigma).sum() + missing * np.log(alpha)
        fit = n_samples * np.log(beta / (2 * np.pi)) + n_features * np.log(alpha) - log_det
        evidence.append((fit - beta * residual - alpha * (weights @ weights)) / (2 * n_samples))
    return float(np.mean(evidence))


def _discriminant(features: np.ndarray, labels: np.ndarray, shrinkage: float | None) -> tuple[np.ndarray, float]:
    """Posteriors of a linear discriminant, its within-class covariance shrunk towards a multiple of the identity."""
    n_classes, n_features = labels.max() + 1, features.shape[1]
    priors = np.bincount(labels) / len(labels)
    means = np.stack([features[labels == k].mean(axis=0) for k in range(n_classes)])
    within = sum(p * np.cov(features[labels == k], rowvar=False, bias=True) for k, p in enumerate(priors))
    if shrinkage is None:
        vector = within.sum(axis=1)
        for _ in range(6):  # power iterations towards the largest eigenvalue
            vector = within @ (vector / np.linalg.norm(vector))
        shrinkage = max(np.exp(-5 * np.linalg.norm(vector)), 1e-10)
    target = np.trace(within) / n_features * np.eye(n_features)
    coefficients = np.linalg.solve((1 - shrinkage) * within + shrinkage * target, means.T)
    logits = features @ coefficients - 0.5 * np.einsum("kd,dk->k", means, coefficients) + np.log(priors)
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True), shrinkage


def sfda(features: np.ndarray, labels: np.ndarray) -> float:
    """SFDA: a discriminant, ConfMix, the same discriminant again."""
    features = features.astype(np.float64)
    posterior, shrinkage = _discriminant(features, labels, None)
    confidence = np.exp(posterior) / np.exp(posterior).sum(axis=1, keepdims=True)
    means, mixed = _class_means(features, labels), np.empty_like(features)
    for k in range(labels.max() + 1):
        own = labels == k
        weight = confidence[own, k][:, None]
        mixed[own] = weight * features[own] + (1 - weight) * np.delete(means, k, axis=0).mean(axis=0)
    posterior, _ = _discriminant(mixed, labels, shrinkage)
    return float(posterior[np.arange(len(labels)), labels].mean())


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """H-score from two covariance matrices and one pseudo-inverse."""
    features = features.astype(np.float64)
    expected = _class_means(features, labels)[labels]
    return float(np.trace(np.linalg.pinv(np.cov(features, rowvar=False), rcond=1e-15) @ np.cov(expected, rowvar=False)))


def regularized_h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """H-score with the Ledoit-Wolf covariance of scikit-learn."""
    features = features - features.mean(axis=0, dtype=np.float64)
    estimate = LedoitWolf().fit(features)
    expected = np.cov(_class_means(features, labels)[labels], rowvar=False)
    return float(np.trace(np.linalg.pinv(estimate.covariance_) @ ((1 - estimate.shrinkage_) * expected)))


def gbc(features: np.ndarray, labels: np.ndarray) -> float:
    """GBC with spherical covariances after a 64-dimensional PCA, pair of classes by pair of classes."""
    projected = PCA(min(64, *features.shape), svd_solver="full").fit_transform(features).astype(np.float64)
    n_classes, dims = labels.max() + 1, projected.shape[1]
    means = _class_means(projected, labels)
    variances = [max(projected[labels == k].var(axis=0).mean(), 1e-4) for k in range(n_classes)]
    total = 0.0
    for i in range(n_classes):
        for j in range(n_classes):
            if i != j:
                average = (variances[i] + variances[j]) / 2
                distance = ((means[i] - means[j]) ** 2).sum() / (8 * average)
                distance += dims / 2 * np.log(average / np.sqrt(variances[i] * variances[j]))
                total -= np.exp(-distance)
    return float(total)


def _class_means(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.stack([features[labels == k].mean(axis=0) for k in range(labels.max() + 1)])
