"""Procedural textures: functions of the plane, drawn in two random colours."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from .drawing import SIZE, Painter, clouds, colour

_TURN = 2 * np.pi
_Y, _X = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE - 0.5  # (32, 32) each, -1/2..1/2

Field = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def _soft(x: np.ndarray) -> np.ndarray:
    """A step at 0 with a soft edge, so that lines are not jagged."""
    return np.clip(0.5 + 3 * x, 0, 1)


def _triangle(x: np.ndarray) -> np.ndarray:
    """A triangle wave of period 1, 0..1."""
    return 2 * np.abs(x - np.floor(x) - 0.5)


def _distances(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances (32, 32, n) to n random points, sorted, and the nearest point's number (32, 32)."""
    points = rng.uniform(-0.6, 0.6, (2, n))
    distances = np.hypot(_X[..., None] - points[0], _Y[..., None] - points[1])
    return np.sort(distances, axis=-1), distances.argmin(-1)


def _cracks(u, v, rng):
    distances = _distances(rng, 18)[0]
    return np.clip(14 * (distances[..., 1] - distances[..., 0]) - 0.2, 0, 1)


def _barcode(u, v, rng):
    bars = rng.integers(0, 2, 64)  # of random width: runs of equal bars
    return bars[np.floor(3 * u).astype(int) % 64].astype(float)


def _bricks(u, v, rng):
    row = np.floor(2 * v)
    return _soft(3 * np.minimum(0.84 - np.abs(_triangle(u + 0.5 * row)), 0.75 - np.abs(_triangle(2 * v))))


def _brushed(u, v, rng):
    angle = rng.uniform(0, np.pi)
    fy, fx = np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)
    along, across = fx * np.cos(angle) + fy * np.sin(angle), fy * np.cos(angle) - fx * np.sin(angle)
    keep = np.exp(-((along / 0.03) ** 2) - (across / 0.4) ** 2)
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) * keep, s=(SIZE, SIZE))
    return np.clip(0.5 + 0.3 * field / field.std(), 0, 1)


SOURCE: dict[str, Field] = {
    "grating": lambda u, v, rng: 0.5 + 0.5 * np.sin(_TURN * u),
    "stripes": lambda u, v, rng: _soft(2 * np.sin(_TURN * u) + rng.uniform(-1.5, 1.5)),
    "checkers": lambda u, v, rng: _soft(2 * np.sin(_TURN * u) * np.sin(_TURN * v)),
    "rings": lambda u, v, rng: _soft(np.sin(_TURN * np.hypot(u, v))),
    "diamonds": lambda u, v, rng: _soft(np.sin(_TURN * (np.abs(u) + np.abs(v)))),
    "rays": lambda u, v, rng: _soft(2 * np.sin(rng.integers(6, 13) * np.arctan2(v, u))),
    "spiral": lambda u, v, rng: _soft(np.sin(_TURN * np.hypot(u, v) + rng.integers(1, 4) * np.arctan2(v, u))),
    "dots": lambda u, v, rng: _soft(np.cos(_TURN * u) + np.cos(_TURN * v) - rng.uniform(0.3, 1)),
    "cells": lambda u, v, rng: rng.random(18)[_distances(rng, 18)[1]],
    "bubbles": lambda u, v, rng: np.clip(4 * _distances(rng, 20)[0][..., 0], 0, 1),
    "clouds": lambda u, v, rng: np.clip(0.5 + 0.25 * clouds(rng, 2), 0, 1),
    "grain": lambda u, v, rng: rng.random((SIZE, SIZE)),
}
TARGET: dict[str, Field] = {
    "waves": lambda u, v, rng: _soft(np.sin(_TURN * (u + 0.3 * np.sin(_TURN * v / 2)))),
    "zigzag": lambda u, v, rng: _soft(np.sin(_TURN * (u + 0.6 * _triangle(v / 2)))),
    "lattice": lambda u, v, rng: _soft(3 * (np.maximum(_triangle(u), _triangle(v)) - 0.75)),
    "plaid": lambda u, v, rng: (_soft(np.sin(_TURN * u)) + _soft(np.sin(_TURN * v))) / 2,
    "triangles": lambda u, v, rng: _soft(5 * (u - np.floor(u) + v - np.floor(v) - 1)),
    "marble": lambda u, v, rng: 0.5 + 0.5 * np.sin(_TURN * (0.5 * u + 0.3 * clouds(rng, 2))),
    "camouflage": lambda u, v, rng: _soft(4 * clouds(rng, 2)),
    "bricks": _bricks,
    "barcode": _barcode,
    "cracks": _cracks,
    "stipple": lambda u, v, rng: _soft(8 * (0.07 - _distances(rng, 30)[0][..., 0])),
    "brushed": _brushed,
}


def paint(rng: np.random.Generator, field: Field) -> np.ndarray:
    """Paint ``field`` at a random turn, scale and place, in two random colours: (32, 32, 3) in 0..1."""
    angle, periods, (du, dv) = rng.uniform(0, np.pi), rng.uniform(3, 6), rng.uniform(-0.25, 0.25, 2)
    u = periods * (np.cos(angle) * _X + np.sin(angle) * _Y + du)
    v = periods * (np.cos(angle) * _Y - np.sin(angle) * _X + dv)
    share = field(u, v, rng)[..., None]  # (32, 32, 1)
    dark, light = colour(rng, (0.2, 0.9), (0.1, 0.5)), colour(rng, (0.1, 0.8), (0.6, 1.0))
    if rng.random() < 0.5:
        dark, light = light, dark
    return (1 - share) * dark + share * light  # (32, 32, 3)


def textures(fields: dict[str, Field]) -> dict[str, Painter]:
    """One class per texture."""
    return {name: partial(paint, field=field) for name, field in fields.items()}
