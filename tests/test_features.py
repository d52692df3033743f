import math

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from ncrepro.extraction import last_layer
from ncrepro.lab import models, small_network_features, training


def _images(n=10):
    return np.random.default_rng(0).integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)


@pytest.mark.parametrize("name", models.names())
def test_source_probabilities_are_the_softmax_of_the_classifier_on_the_features(name):
    network = models.build(name, 6, seed=0)
    head = last_layer.find(network)
    extracted = small_network_features.extract(network, _images())
    assert extracted.features.shape == (10, head.in_features)
    assert extracted.features.dtype == extracted.source_probs.dtype == np.float32
    logits = extracted.features @ head.weight.detach().numpy().T + head.bias.detach().numpy()
    np.testing.assert_allclose(extracted.source_probs, softmax(logits, axis=1), rtol=1e-3, atol=1e-6)


def test_features_come_in_the_order_of_the_images_whatever_the_batches():
    network = models.build("mobilenet_v3", 6, seed=0)
    whole = small_network_features.extract(network, _images())
    parts = small_network_features.extract(network, _images(), batch_size=3)  # 3 + 3 + 3 + 1
    alone = small_network_features.extract(network, _images()[7:8])
    np.testing.assert_allclose(parts.features, whole.features, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(parts.source_probs, whole.source_probs, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(alone.features[0], whole.features[7], rtol=1e-3, atol=1e-5)


def test_extracting_changes_nothing_in_the_network():
    network = models.build("resnet34", 6, seed=0).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    first = small_network_features.extract(network, _images())
    second = small_network_features.extract(network, _images())
    assert np.array_equal(first.features, second.features)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not last_layer.find(network)._forward_hooks


def test_features_of_a_linear_network_are_the_prepared_images():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    extracted = small_network_features.extract(network, _images())
    assert np.array_equal(extracted.features, training.prepare(_images()).flatten(1).numpy())


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_features_that_are_not_finite_are_refused_with_the_models_name(value):
    network = models.build("vgg16", 6, seed=0)
    network.classifier[0].bias.data.fill_(value)
    with pytest.raises(ValueError, match="vgg16: features of 10 of 10 images are NaN or infinite"):
        small_network_features.extract(network, _images())
    assert not last_layer.find(network)._forward_hooks


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="0 images"):
        small_network_features.extract(models.build("vgg16", 6, seed=0), _images(0))
