"""The few matrix routines that several metrics share; every matrix here is a small float64 NumPy array."""

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from scipy import linalg
from scipy.linalg import lapack
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from ._arrays import slices

LANCZOS = {"float32": 1e-6, "float64": 1e-12}  # relative error of an eigenvalue at which the iteration ends
MOST_RESTARTS = 100
BELOW = np.tri(64, k=-1, dtype=bool)


def cholesky(matrix: np.ndarray, variances: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """Lower factor L with LL' = matrix (the rest not filled with zeros), written over the matrix, and the smallest
    pivot: the least share of a variable's variance (the diagonal, or what is given in its place) that the variables
    before it leave unexplained, 0 if singular. Variance 0 counts as variance 1.
    """
    variances = np.diag(matrix) if variances is None else variances
    dead = variances <= 0
    variances = np.where(dead, 1.0, variances)
    diagonal = matrix.flat[:: len(matrix) + 1]
    matrix.flat[:: len(matrix) + 1] = np.where(dead, 1.0, diagonal)
    potrf = linalg.get_lapack_funcs("potrf", (matrix,))
    factor, info = potrf(matrix.T, lower=1, clean=0, overwrite_a=1)
    return factor, 0.0 if info else float((np.diag(factor) ** 2 / variances).min())


def mirror(matrix: np.ndarray) -> np.ndarray:
    """The matrix, its upper triangle copied over the lower, a few columns at a time so that they stay in the cache."""
    for part in slices(len(matrix), 1, 64):
        corner, size = matrix[part, part], part.stop - part.start
        np.copyto(matrix[part.stop :, part], matrix[part, part.stop :].T)
        np.copyto(corner, corner.T.copy(), where=BELOW[:size, :size])
    return matrix


def largest_eigenvalue(matrix: np.ndarray) -> float:
    """Of a symmetric matrix."""
    return float(linalg.eigvalsh(matrix, subset_by_index=(len(matrix) - 1,) * 2)[0])


def log_det_above_one(matrix: np.ndarray, unit: float) -> float:
    """log|I + M / unit| of a positive semi-definite matrix M."""
    matrix = np.divide(matrix, unit, dtype=np.float64)
    matrix.flat[:: len(matrix) + 1] += 1
    return 2 * float(np.log(np.diag(cholesky(matrix)[0])).sum())


def solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """matrix⁻¹ right; the positive semi-definite matrix is destroyed, its zero eigenvalues are raised to rounding."""
    diagonal = np.diag(matrix).copy()
    factor, pivot = cholesky(matrix)
    if pivot > 0:
        return linalg.cho_solve((factor, True), right)
    matrix.flat[:: len(matrix) + 1] = diagonal  # the lower triangle, which eigh reads, is as it was
    values, vectors = np.linalg.eigh(matrix)
    return vectors @ (vectors.T @ right / values.clip(values[-1] * len(values) * np.finfo(float).eps)[:, None])


def trace_of_ratio(factor: np.ndarray, matrix: np.ndarray) -> float:
    """tr(M† A'A) with M† the pseudo-inverse of M (d, d), positive semi-definite, and rows of A (K, d) in M's range."""
    lower, pivot = cholesky(matrix.copy())
    if pivot > 1e-9:
        half = linalg.solve_triangular(lower, factor.T, lower=True)
    else:
        scale = np.sqrt(np.diag(matrix).clip(0))
        scale[scale == 0] = 1.0
        values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
        kept = values > 1e-12 * values.max()
        half = vectors[:, kept].T @ (factor / scale).T / np.sqrt(values[kept])[:, None]
    return float((half**2).sum())


def lanczos(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The largest eigenvalues (count,) of a positive semi-definite matrix, descending, and their eigenvectors as
    columns (d, count), by ARPACK's restarted Lanczos iteration from a seeded start; None where they may be others.

    They are returned only after two checks. First, all residuals ‖Mv - λv‖ are below 10 tolerances times the largest
    eigenvalue. Second, no larger eigenvalue was missed, such as the second of two equal ones: the found ones are taken
    out of the matrix, and the eigenvalues that are left are below the last of them if a Cholesky factor of the
    difference exists.
    """
    rng, tolerance = np.random.default_rng(0), LANCZOS[matrix.dtype.name]
    symv = linalg.get_blas_funcs("symv", (matrix,))  # reads half of the matrix
    times = LinearOperator(matrix.shape, partial(symv, 1.0, matrix.T), dtype=matrix.dtype)
    start = rng.standard_normal(len(matrix)).astype(matrix.dtype)
    try:
        values, vectors = eigsh(times, count, v0=start, tol=tolerance, maxiter=MOST_RESTARTS, rng=rng)
    except ArpackError:
        return None
    slack = 10 * tolerance * values[-1]
    if not np.linalg.norm(matrix @ vectors - vectors * values, axis=0).max() <= slack:
        return None
    rest = (vectors * values) @ vectors.T - matrix
    rest.flat[:: len(rest) + 1] += values[0] + slack
    alone = np.diag(rest).min() > 0 and cholesky(rest)[1] > 0
    return (values[::-1].astype(float), vectors[:, ::-1]) if alone else None


@dataclass(frozen=True)
class Tridiagonal:
    """A symmetric matrix as Q T Q', T tridiagonal: the first half of an eigen-decomposition, a third of its work."""

    diagonal: np.ndarray  # (d,)
    off_diagonal: np.ndarray  # (d - 1,)
    reflectors: np.ndarray | None  # (d, d), Q in LAPACK's form; None for Q = I
    scales: np.ndarray | None  # (d - 1,)

    @classmethod
    def of(cls, matrix: np.ndarray) -> "Tridiagonal":
        if len(matrix) == 1:
            return cls.diagonal_of(matrix[0].copy())
        sytrd = linalg.get_lapack_funcs("sytrd", (matrix,))
        reflectors, diagonal, off_diagonal, scales, _ = sytrd(matrix.T, lower=1, lwork=64 * len(matrix))
        return cls(diagonal.astype(float), off_diagonal.astype(float), reflectors, scales)

    @classmethod
    def diagonal_of(cls, eigenvalues: np.ndarray) -> "Tridiagonal":
        """The matrix in its own eigenvectors."""
        return cls(eigenvalues, np.zeros(len(eigenvalues) - 1), None, None)

    def rotate(self, vectors: np.ndarray, back: bool = False) -> np.ndarray:
        """Q' vectors, or Q vectors if ``back``; vectors are columns (d, m)."""
        if self.reflectors is not None:
            vectors = np.array(vectors, dtype=self.reflectors.dtype, order="F")
            d, work = len(vectors), 64 * max(vectors.shape)
            # from the second row on, with a last row that is not looked at: a slice proper would be copied
            reflectors = self.reflectors.ravel(order="F")[1 : 1 + d * (d - 1)].reshape((d, d - 1), order="F")
            ormqr = linalg.get_lapack_funcs("ormqr", (vectors,))
            vectors[1:], _, _ = ormqr("L", "N" if back else "T", reflectors, self.scales, vectors[1:], lwork=work)
        return vectors

    @cached_property
    def eigenvalues(self) -> np.ndarray:
        """All eigenvalues, ascending, (d,)."""
        if self.reflectors is None:
            return np.sort(self.diagonal)
        return linalg.eigvalsh_tridiagonal(self.diagonal, self.off_diagonal)

    def leading(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The largest eigenvalues (count,), descending, and their eigenvectors as columns (d, count)."""
        d = len(self.diagonal)
        if self.reflectors is None:
            order = np.argsort(-self.diagonal, kind="stable")[:count]
            return self.diagonal[order], np.eye(d)[:, order]
        values, vectors = linalg.eigh_tridiagonal(
            self.diagonal, self.off_diagonal, select="i", select_range=(d - count, d - 1), lapack_driver="stebz"
        )
        return values[::-1], self.rotate(vectors[:, ::-1], back=True)

    def solve(self, shift: float, right: np.ndarray) -> np.ndarray:
        """(T + shift I)⁻¹ right, in the rotated space, (d, m)."""
        if self.reflectors is None:
            return right / (self.diagonal + shift)[:, None]
        return lapack.dptsv(self.diagonal + shift, self.off_diagonal, right)[2]
