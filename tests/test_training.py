import math

import numpy as np
import pytest
import torch
from torch import nn

from ncrepro.extraction import last_layer
from ncrepro.lab import models, training, training_loop
from ncrepro.lab.training import Recipe

RECIPE = Recipe(epochs=2, batch_size=16, learning_rate=0.05)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _easy(n=64, n_classes=4):
    """Images that only differ by which quarter is bright."""
    rng = np.random.default_rng(0)
    labels = np.arange(n, dtype=np.int64) % n_classes
    images = rng.integers(0, 60, (n, 3, 32, 32), dtype=np.uint8)
    for image, k in zip(images, labels, strict=True):
        image[:, 16 * (k // 2) : 16 * (k // 2) + 16, 16 * (k % 2) : 16 * (k % 2) + 16] += 150
    return images, labels


def _counting_network(seen, n_classes=4):
    """A linear network that notes the size of each batch it is trained on."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, n_classes))
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    return network


def test_a_small_network_learns_easy_images():
    images, labels = _easy()
    network = models.build("mobilenet_v1", 4, seed=0)
    history = training.fit(network, images, labels, Recipe(epochs=20, batch_size=16, learning_rate=0.05), seed=0)
    assert history[-1] < history[0] / 2
    assert training.accuracy(network, images, labels) > 90


def test_accuracy_is_the_share_of_right_classes_in_per_cent():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 2))
    nn.init.zeros_(network[1].weight)
    network[1].bias.data = torch.tensor([0.0, 1.0])  # always says class 1
    images = np.zeros((300, 3, 32, 32), np.uint8)
    assert training.accuracy(network, images, np.repeat(np.array([0, 1]), [225, 75])) == 100 * 75 / 300


def test_accuracy_is_measured_in_evaluation_mode():
    images, labels = _easy()
    network = models.build("resnet34", 4, seed=0).train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    training.accuracy(network, images, labels)
    assert not network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["resnet34", "mobilenet_v3", "vgg16"])
def test_the_same_seed_gives_the_same_bits_whatever_the_global_random_state(name):
    images, labels = _easy()
    trained = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        network = models.build(name, 4, seed=0)
        state = torch.get_rng_state()
        training.fit(network, images, labels, RECIPE, seed=7)
        assert torch.equal(torch.get_rng_state(), state)
        trained.append(network.state_dict())
    assert all(torch.equal(trained[0][key], trained[1][key]) for key in trained[0])


def test_another_seed_gives_other_weights():
    images, labels = _easy()
    heads = []
    for seed in (0, 1):
        network = models.build("mobilenet_v1", 4, seed=0)
        training.fit(network, images, labels, RECIPE, seed)
        heads.append(last_layer.find(network).weight)
    assert not torch.equal(*heads)


def test_the_learning_rate_warms_up_along_a_line_then_falls_along_half_a_cosine():
    rates = training_loop.learning_rates(
        Recipe(epochs=1, batch_size=1, learning_rate=0.2, warmup=0.1), n_steps=100, decay=training_loop.cosine
    )
    assert len(rates) == 100
    assert rates[:10] == pytest.approx([0.2 * (step + 1) / 10 for step in range(10)])
    assert rates[10:] == pytest.approx([0.2 * (1 + math.cos(math.pi * step / 90)) / 2 for step in range(90)])
    assert max(rates) == 0.2
    assert 0 < rates[-1] < 0.001


def test_without_warm_up_the_first_step_has_the_full_learning_rate():
    rates = training_loop.learning_rates(
        Recipe(epochs=1, batch_size=1, learning_rate=0.2, warmup=0.0), n_steps=4, decay=training_loop.cosine
    )
    assert rates == pytest.approx([0.2 * (1 + math.cos(math.pi * step / 4)) / 2 for step in range(4)])


def test_a_single_step_has_a_learning_rate():
    assert training_loop.learning_rates(
        Recipe(epochs=1, batch_size=1, learning_rate=0.2), n_steps=1, decay=training_loop.cosine
    ) == [0.2]


def test_the_last_short_batch_is_left_out():
    seen = []
    images, labels = _easy(50)
    training.fit(_counting_network(seen), images, labels, RECIPE, seed=0)
    assert [len(batch) for batch in seen] == [16, 16, 16] * RECIPE.epochs  # 50 = 3 * 16 + 2


def test_fewer_images_than_a_batch_are_one_batch():
    seen = []
    images, labels = _easy(10)
    training.fit(_counting_network(seen), images, labels, RECIPE, seed=0)
    assert [len(batch) for batch in seen] == [10] * RECIPE.epochs


def test_an_epoch_sees_each_image_once_in_another_order_each_time():
    seen = []
    images, labels = np.zeros((32, 3, 32, 32), np.uint8), np.arange(32, dtype=np.int64) % 4
    images += np.arange(32, dtype=np.uint8)[:, None, None, None]  # flat images, each of another grey
    training.fit(_counting_network(seen), images, labels, RECIPE, seed=0)
    greys = (torch.cat(seen)[:, 0, 0, 0] * 63.75 + 127.5).round().int().tolist()
    first, second = greys[:32], greys[32:]
    assert sorted(first) == sorted(second) == list(range(32))
    assert first != second


def test_images_are_moved_by_no_more_than_the_shift():
    image = np.zeros((1, 3, 32, 32), np.uint8)
    image[:, :, 16, 16] = 255
    seen = []
    recipe = Recipe(epochs=60, batch_size=1, learning_rate=1e-3, shift=1)
    training.fit(_counting_network(seen), image, np.array([0]), recipe, seed=0)
    places = {tuple((batch[0, 0] > 0).nonzero()[0].tolist()) for batch in seen}
    assert places == {(row, column) for row in (15, 16, 17) for column in (15, 16, 17)}


def test_without_shift_the_network_sees_the_prepared_images():
    seen = []
    images, labels = _easy(8)
    training.fit(_counting_network(seen), images, labels, Recipe(1, 8, 0.01, shift=0), seed=0)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(seen[0], training.prepare(images)[order])


def test_a_step_is_nesterov_momentum_with_weight_decay_and_a_clipped_gradient():
    images, labels = _easy(8)
    recipe = Recipe(1, 8, learning_rate=0.1, momentum=0.9, weight_decay=0.01, warmup=0.0, clip=0.5, shift=0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))
    weight, bias = (p.detach().clone().requires_grad_() for p in network.parameters())
    nn.functional.cross_entropy(training.prepare(images).flatten(1) @ weight.T + bias, torch.tensor(labels)).backward()
    norm = math.hypot(weight.grad.norm(), bias.grad.norm())
    assert norm > recipe.clip, "the test needs a gradient that is clipped"
    gradient = weight.grad * (0.5 / norm) + 0.01 * weight.detach()
    training.fit(network, images, labels, recipe, seed=0)
    expected = weight.detach() - 0.1 * (gradient + 0.9 * gradient)  # first step: velocity = gradient
    torch.testing.assert_close(network[1].weight.detach(), expected, rtol=1e-4, atol=1e-6)


def test_each_epoch_is_reported_as_it_ends():
    images, labels = _easy()
    reported = []
    network = models.build("mobilenet_v1", 4, seed=0)
    history = training.fit(
        network, images, labels, Recipe(3, 16, 0.05), seed=0, on_epoch=lambda *arguments: reported.append(arguments)
    )
    assert reported == list(enumerate(history, 1)) and len(history) == 3
    assert not network.training


def test_prepared_images_are_centred_and_of_unit_scale():
    images = np.zeros((2, 3, 32, 32), np.uint8)
    images[1] = 255
    prepared = training.prepare(images)
    assert prepared.dtype == torch.float32 and prepared.shape == (2, 3, 32, 32)
    assert prepared[0].unique().tolist() == [(0 - 0.5) / 0.25]
    assert prepared[1].unique().tolist() == [(1 - 0.5) / 0.25]
    assert images[1].min() == 255, "the caller's images must not change"
    assert torch.equal(prepared, training.prepare(torch.from_numpy(images)))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((4, 3, 32, 32), np.float32), r"float32 of shape \(4, 3, 32, 32\)"),
        (np.zeros((4, 32, 32, 3), np.uint8), r"shape \(4, 32, 32, 3\); allowed is uint8 of shape \(n, 3, 32, 32\)"),
        (np.zeros((4, 3, 28, 28), np.uint8), r"shape \(4, 3, 28, 28\).*resize"),
        (np.zeros((4, 32, 32), np.uint8), r"shape \(4, 32, 32\)"),
    ],
)
def test_images_of_another_kind_are_refused(images, message):
    with pytest.raises(ValueError, match=message):
        training.prepare(images)


@pytest.mark.parametrize("verb", [lambda *data: training.fit(*data, RECIPE, seed=0), training.accuracy])
@pytest.mark.parametrize(
    ("n_images", "labels", "message"),
    [
        (4, np.zeros(3, np.int64), "4 images and 3 labels"),
        (0, np.zeros(0, np.int64), "0 images and 0 labels; allowed is one label per image, at least one"),
        (4, np.zeros(4, np.int32), "labels are torch.int32"),
        (4, np.zeros(4, np.float64), "labels are torch.float64"),
        (4, np.zeros((4, 1), np.int64), r"of shape \(4, 1\)"),
        (4, np.array([0, 1, 2, 4]), "0 to 4; allowed is int64 of shape .n,., 0 to 3"),
        (4, np.array([0, 1, 2, -1]), "-1 to 2; allowed"),
    ],
)
def test_labels_that_do_not_fit_are_refused(verb, n_images, labels, message):
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 4))
    with pytest.raises(ValueError, match=message):
        verb(network, np.zeros((n_images, 3, 32, 32), np.uint8), labels)


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("batch_size", 0), ("learning_rate", 0.0), ("clip", -1.0), ("momentum", 1.0),
     ("weight_decay", -1e-4), ("warmup", 1.5), ("shift", -1), ("shift", 32)],
)  # fmt: skip
def test_a_recipe_out_of_range_is_refused(field, value):
    with pytest.raises(ValueError, match=f"recipe.{field} is {value}; allowed is"):
        Recipe(**{"epochs": 1, "batch_size": 8, "learning_rate": 0.1, field: value})


def test_a_loss_that_is_not_finite_is_an_error():
    images, labels = _easy()
    network = _counting_network([])
    network[1].weight.data.fill_(math.nan)
    with pytest.raises(FloatingPointError, match="loss is nan in epoch 1: lower the learning rate"):
        training.fit(network, images, labels, RECIPE, seed=0)
