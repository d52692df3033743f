"""The linear probe: what it finds where the answer is known."""

import numpy as np
import pytest

from ncrepro.metrics.linear_probe import linear_probe

LABELS = np.repeat(["a", "b", "c"], 30)


def spread(distance, seed=0):
    """Three classes around the corners of a triangle with sides of ``distance``, in four dimensions."""
    draws = np.random.default_rng(seed)
    corners = np.eye(4)[:3] * distance / np.sqrt(2)
    return corners[np.unique(LABELS, return_inverse=True)[1]] + draws.normal(size=(len(LABELS), 4))


def test_classes_far_apart_are_all_found_and_noise_is_guessed():
    assert linear_probe(spread(20.0), LABELS) == 100
    assert np.mean([linear_probe(spread(0.0, seed), LABELS) for seed in range(20)]) == pytest.approx(100 / 3, abs=5)


def test_it_asks_about_images_it_was_not_fitted_to():
    noise = np.random.default_rng(0).normal(size=(90, 200))  # with more features than samples any labels can be fitted
    assert linear_probe(noise, LABELS) < 60


def test_scale_order_and_names_of_the_features_do_not_matter():
    H = spread(2.0)
    assert linear_probe(1000 * H[:, ::-1] - 7, LABELS) == pytest.approx(linear_probe(H, LABELS))
    assert linear_probe(H, np.repeat([5, 6, 9], 30)) == linear_probe(H, LABELS)


def test_the_same_samples_give_the_same_number():
    assert linear_probe(spread(1.0), LABELS) == linear_probe(spread(1.0), LABELS)
