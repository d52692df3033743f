"""Clusters that objectives make of their own features, and use in place of labels."""

import torch
from torch import Tensor

from .base import unit


@torch.no_grad()
def spherical_kmeans(
    x: Tensor, n_clusters: int, draws: torch.Generator, n_iterations: int = 10
) -> tuple[Tensor, Tensor]:
    r"""k-means by cosine similarity.

    .. math:: \max_{C, a} \sum_i x_i^\top c_{a_i}, \qquad \lVert c_k \rVert = 1

    Parameters
    ----------
    x : Tensor of shape (n, p)
        Rows of length 1.
    n_clusters : int
        At most n.
    draws : torch.Generator
        Chooses the rows that the centres start from.

    Returns
    -------
    centres : Tensor of shape (n_clusters, p)
        Rows of length 1. A cluster that loses all its members keeps its centre.
    assignment : Tensor of shape (n,), int64
        The centre that each row is most similar to.

    Raises
    ------
    ValueError
        If there are more clusters than rows.
    """
    if n_clusters > len(x):
        raise ValueError(f"n_clusters is {n_clusters}, but there are {len(x)} rows; allowed is at most that many")
    centres = x[torch.randperm(len(x), generator=draws)[:n_clusters]]  # (k, p)
    for _ in range(n_iterations):
        assignment = (x @ centres.T).argmax(1)  # (n,)
        sums = torch.zeros_like(centres).index_add_(0, assignment, x)  # (k, p)
        inhabited = torch.bincount(assignment, minlength=n_clusters) > 0
        centres = torch.where(inhabited[:, None], unit(sums), centres)
    return centres, (x @ centres.T).argmax(1)


@torch.no_grad()
def sinkhorn(scores: Tensor, epsilon: float, n_iterations: int) -> Tensor:
    r"""Soft assignments that use every cluster equally often.

    .. math:: Q = \operatorname{diag}(u) \exp(S / \epsilon) \operatorname{diag}(v)

    u and v are such that, up to a factor, every row of Q sums to one and every column to n / k; they are found by
    scaling columns and rows in turn (SwAV Eq. 5; SeLa, Section 3.1). Without the equal shares all images could end in
    one cluster.

    Parameters
    ----------
    scores : Tensor of shape (n, k)
        Similarity of each image to each cluster.
    epsilon : float
        Softness: near 0 each image belongs to one cluster, with a large one to all of them equally.
    n_iterations : int

    Returns
    -------
    Tensor of shape (n, k)
        Rows sum to 1.
    """
    log_q = scores / epsilon
    for _ in range(n_iterations):
        log_q = log_q - log_q.logsumexp(0, keepdim=True)  # columns alike
        log_q = log_q - log_q.logsumexp(1, keepdim=True)  # rows sum to 1
    return log_q.exp()
