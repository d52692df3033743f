import pytest
import torch
from torch import nn

from ncrepro.extraction import last_layer
from ncrepro.lab import models
from ncrepro.lab.models import full_size, time_series, vision

EVERY = pytest.mark.parametrize("name", models.names())


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _images(n=3):
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def _n_weights(name):
    return sum(p.numel() for p in models.build(name, 10, seed=0).parameters())


def _n_convolutions(name):
    return sum(isinstance(m, nn.Conv2d) for m in models.build(name, 10, seed=0).modules())


def test_the_zoo_is_the_union_of_both_papers_pools():
    assert len(models.names()) == 19
    assert set(models.names()) == set(models.NCTI_POOL) | set(models.FACE_POOL)
    assert (len(models.NCTI_POOL), len(models.FACE_POOL)) == (11, 15)


@EVERY
def test_every_network_gives_one_logit_per_class(name):
    assert models.build(name, 7, seed=0)(_images()).shape == (3, 7)


@EVERY
def test_logits_are_the_classifier_applied_to_its_input(name):
    network = models.build(name, 7, seed=0).eval()
    head = last_layer.find(network)
    seen = []
    head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        logits = network(_images())
    assert seen[0].shape == (3, head.in_features)
    torch.testing.assert_close(seen[0] @ head.weight.T + head.bias, logits)


@EVERY
def test_features_are_wide_enough_for_64_principal_components(name):
    assert last_layer.find(models.build(name, 7, seed=0)).in_features >= 64


@EVERY
def test_every_convolution_and_linear_layer_takes_part(name):
    network = models.build(name, 7, seed=0).train()
    nn.functional.cross_entropy(network(_images(8)), torch.arange(8) % 7).backward()
    assert [key for key, p in network.named_parameters() if p.grad is None] == []


@EVERY
def test_batch_normalisation_forgets_a_tenth_per_step(name):
    normalisations = [m for m in models.build(name, 7, seed=0).modules() if isinstance(m, nn.BatchNorm2d)]
    assert normalisations
    assert {m.momentum for m in normalisations} == {0.1}


@EVERY
def test_no_network_draws_random_numbers_while_training(name):
    network = models.build(name, 7, seed=0).train()
    before = torch.get_rng_state()
    network(_images())
    assert torch.equal(torch.get_rng_state(), before)


@EVERY
def test_a_replaced_classifier_is_seeded_and_leaves_the_rest_alone(name):
    network, twin = models.build(name, 7, seed=0), models.build(name, 7, seed=0)
    width = last_layer.find(network).in_features
    for model in (network, twin):
        last_layer.replace(model, 4, seed=5)
    head = last_layer.find(network)
    assert (head.in_features, head.out_features) == (width, 4)
    assert network(_images()).shape == (3, 4)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), twin.parameters(), strict=True))
    last_layer.replace(twin, 4, seed=6)
    assert not torch.equal(head.weight, last_layer.find(twin).weight)


@EVERY
def test_weights_pass_through_a_plain_dictionary(name):
    network, other = models.build(name, 7, seed=0), models.build(name, 7, seed=1)
    other.load_state_dict(dict(network.state_dict()))  # without PyTorch's version notes, as after a safetensors file
    assert torch.equal(network.eval()(_images()), other.eval()(_images()))


@EVERY
def test_the_seed_alone_decides_the_weights(name):
    torch.manual_seed(1)
    first = models.build(name, 7, seed=3).state_dict()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = models.build(name, 7, seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), state), "the global random state must be left as it was"
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = models.build(name, 7, seed=4)
    assert not torch.equal(last_layer.find(other).weight, second[_classifier_key(other)])


def _classifier_key(network):
    return next(key for key, p in network.named_parameters() if p is last_layer.find(network).weight)


@pytest.mark.parametrize(
    "family",
    [
        ("resnet50", "resnet101", "resnet152"),
        ("densenet121", "densenet169", "densenet201"),
        ("efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3"),
        ("vgg16", "vgg19"),
    ],
)
def test_a_family_is_ordered_by_size_as_its_originals_are(family):
    weights = [_n_weights(name) for name in family]
    convolutions = [_n_convolutions(name) for name in family]
    assert weights == sorted(set(weights))
    assert convolutions == sorted(convolutions)
    assert convolutions[-1] > convolutions[0]


def test_networks_are_those_of_torchvision():
    for name, kind in {
        "resnet34": vision.ResNet,
        "densenet121": vision.DenseNet,
        "mnasnet1_0": vision.MNASNet,
        "mobilenet_v2": vision.MobileNetV2,
        "mobilenet_v3": vision.MobileNetV3,
        "googlenet": vision.GoogLeNet,
        "inception_v3": vision.Inception3,
        "efficientnet_b0": vision.EfficientNet,
        "vgg16": vision.VGG,
    }.items():
        assert isinstance(models.build(name, 5, seed=0), kind)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="unknown model 'resnet5'.*did you mean 'resnet50'"):
        models.build("resnet5", 10, seed=0)
    with pytest.raises(ValueError, match="unknown model 'alexnet'"):  # torchvision knows it, the pools do not
        full_size.build("alexnet", 10, seed=0)


@pytest.mark.parametrize("n_classes", [1, 0, -3])
def test_fewer_than_two_classes_are_refused(n_classes):
    with pytest.raises(ValueError, match=f"n_classes is {n_classes}; allowed is 2 or more"):
        models.build("mobilenet_v1", n_classes, seed=0)
    with pytest.raises(ValueError, match="allowed is 2 or more"):
        last_layer.replace(models.build("mobilenet_v1", 5, seed=0), n_classes, seed=0)
    with pytest.raises(ValueError, match="allowed is 2 or more"):
        full_size.build("mobilenet_v2", n_classes, seed=0)
    with pytest.raises(ValueError, match="allowed is 2 or more"):
        time_series.replace_classifier(time_series.build("gru", 5, seed=0), 1, n_classes, seed=0)


def test_a_network_without_a_linear_layer_ends_in_its_last_convolution():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 5, 3, padding=1), nn.Flatten())
    assert last_layer.find(network) is network[1] and (last_layer.width(network), last_layer.n_outputs(network)) == (
        4,
        5,
    )
    last_layer.replace(network, 7, seed=0)
    assert last_layer.n_outputs(network) == 7 and network[1].padding == (1, 1)
