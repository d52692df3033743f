import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from ncrepro.extraction import last_layer
from ncrepro.lab import losses, models, training, training_loop
from ncrepro.lab.tasks import classification

N_CLASSES = 5


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


class Watched(nn.Module):
    """A linear network that keeps what it was shown."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3 * 32 * 32, N_CLASSES)

    def forward(self, images):
        self.shown = images
        return self.head(images.flatten(1))


def batch(n=24):
    """Random images, and labels in turn."""
    return torch.randn(n, 3, 32, 32), torch.arange(n) % N_CLASSES


def flat_batch(n=24):
    """Images of one grey each: the i-th is i + 1 everywhere."""
    return (torch.arange(n) + 1.0).view(n, 1, 1, 1).expand(n, 3, 32, 32).clone(), torch.arange(n) % N_CLASSES


def nll(logits, labels):
    return -logits.log_softmax(1)[torch.arange(len(labels)), labels]


# The losses themselves ------------------------------------------------------------------------------------------------


def test_cross_entropy_is_that_of_pytorch_bit_for_bit_and_draws_nothing():
    network, (images, labels) = Watched(), batch()
    state = torch.get_rng_state()
    value = losses.cross_entropy(network, images, labels, 0.3)
    assert torch.equal(value, functional.cross_entropy(network(images), labels))
    assert network.shown is images
    assert torch.equal(torch.get_rng_state(), state)


def test_label_smoothing_is_the_cross_entropy_against_a_truth_that_is_shared_out():
    network, (images, labels) = Watched(), batch()
    value, logits = losses.label_smoothing(network, images, labels, 0.0), network(images)
    expected = 0.0
    for row, k in zip(logits.log_softmax(1).tolist(), labels.tolist(), strict=True):
        truth = [0.1 / 5 + (0.9 if j == k else 0.0) for j in range(5)]
        expected -= sum(q * log_p for q, log_p in zip(truth, row, strict=True)) / len(labels)
    assert value.item() == pytest.approx(expected, rel=1e-5)


def test_mixup_shows_mixtures_and_mixes_the_losses_alike():
    network, (images, labels) = Watched(), flat_batch()
    value = losses.mixup(network, images, labels, 0.0)
    logits = network(network.shown)
    before = images.roll(1, 0)
    share = ((network.shown - before) / (images - before))[1:].unique()  # the first image is mixed with the last
    assert share.max() - share.min() < 1e-4
    share = share.mean()
    assert 0 < share < 1
    expected = share * nll(logits, labels) + (1 - share) * nll(logits, labels.roll(1))
    assert value.item() == pytest.approx(expected.mean().item(), rel=1e-4)


def test_cutmix_pastes_a_box_and_mixes_the_losses_by_its_area():
    network, (images, labels) = Watched(), flat_batch()
    value = losses.cutmix(network, images, labels, 0.0)
    logits = network(network.shown)
    own = network.shown == images
    assert torch.equal(network.shown, torch.where(own, images, images.roll(1, 0)))
    assert all(torch.equal(mask, own[0]) for mask in own), "one box for the whole batch"
    rows, columns = (~own[0, 0]).nonzero(as_tuple=True)
    box = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
    assert 0 < len(rows) == box < 32 * 32
    share = 1 - box / (32 * 32)
    expected = share * nll(logits, labels) + (1 - share) * nll(logits, labels.roll(1))
    assert value.item() == pytest.approx(expected.mean().item(), rel=1e-4)


def test_cutout_hides_one_square_in_half_of_the_images():
    network, (images, labels) = Watched(), flat_batch(200)
    images = images.contiguous(memory_format=torch.channels_last)
    value = losses.cutout(network, images, labels, 0.0)
    logits = network(network.shown)
    hidden = network.shown == 0
    assert torch.equal(network.shown[~hidden], images[~hidden])
    assert network.shown.is_contiguous(memory_format=torch.channels_last), "the other layout is slower to train on"
    corners = set()
    for mask in hidden[hidden.any((1, 2, 3))]:
        rows, columns = mask[0].nonzero(as_tuple=True)
        assert torch.equal(mask, mask[:1].expand(3, 32, 32))
        assert len(rows) == 8 * 8
        assert rows.max() - rows.min() == columns.max() - columns.min() == 8 - 1
        corners.add((rows.min().item(), columns.min().item()))
    assert 200 / 2 - 35 < hidden.any((1, 2, 3)).sum() < 200 / 2 + 35  # five standard deviations
    assert len(corners) > 50
    assert value.item() == pytest.approx(nll(logits, labels).mean().item(), rel=1e-5)


@pytest.mark.parametrize("name", ["mixup", "cutmix", "cutout"])
def test_the_callers_images_and_labels_stay_as_they_are(name):
    images, labels = batch()
    before = images.clone(), labels.clone()
    losses.get(name)(Watched(), images, labels, 0.0)
    assert torch.equal(images, before[0])
    assert torch.equal(labels, before[1])


# Large-margin softmax -------------------------------------------------------------------------------------------------


def psi(theta, m):
    """Liu et al. 2016, Eq. 5 and 6, read off the page."""
    for k in range(m):
        if k * math.pi / m <= theta <= (k + 1) * math.pi / m:
            return (-1) ** k * math.cos(m * theta) - 2 * k


def literal_margin(x, W, b, labels, annealing, m):
    rows = []
    for x_i, y in zip(x.tolist(), labels.tolist(), strict=True):
        row = []
        for j, (w, bias) in enumerate(zip(W.tolist(), b.tolist(), strict=True)):
            product = sum(a * c for a, c in zip(x_i, w, strict=True))
            length = math.hypot(*x_i) * math.hypot(*w)
            theta = math.acos(product / length)
            margin = (annealing * math.cos(theta) + psi(theta, m)) / (1 + annealing)
            row.append((length * margin if j == y else product) + bias)
        rows.append(row)
    return torch.tensor(rows, dtype=x.dtype)


def random_head(n=300, d=3):
    x, W, b = (
        torch.randn(n, d, dtype=torch.float64),
        torch.randn(N_CLASSES, d, dtype=torch.float64),
        torch.randn(N_CLASSES),
    )
    return x, W, b.double(), torch.arange(n) % N_CLASSES


@pytest.mark.parametrize("m", [1, 2, 3, 4])
@pytest.mark.parametrize("annealing", [0.0, 1.5])
def test_the_margin_is_that_of_a_literal_evaluation(m, annealing):
    x, W, b, labels = random_head()
    ours = losses.with_margin(x @ W.T + b, x, W, labels, annealing, m)
    torch.testing.assert_close(ours, literal_margin(x, W, b, labels, annealing, m), rtol=1e-9, atol=1e-9)


def true_logit_at(theta, m, annealing=0.0):
    """The true class's logit, for weights of length 2 and features of length 3 that stand at an angle of theta."""
    x = torch.tensor([[3 * math.cos(theta), 3 * math.sin(theta)]], dtype=torch.float64)
    W = torch.tensor([[2.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    return losses.with_margin(x @ W.T, x, W, torch.tensor([0]), annealing, m)[0, 0].item()


@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_the_margin_at_angles_whose_cosines_are_known(m):
    length = 2 * 3
    assert true_logit_at(0.0, m) == pytest.approx(length * 1)
    assert true_logit_at(math.pi / m, m) == pytest.approx(length * -1)
    assert true_logit_at(math.pi / (2 * m), m) == pytest.approx(length * 0, abs=1e-9)
    assert true_logit_at(math.pi, m) == pytest.approx(length * (-1 - 2 * (m - 1)))
    assert true_logit_at(math.pi, m, annealing=3.0) == pytest.approx(length * (3 * -1 + -1 - 2 * (m - 1)) / (3 + 1))


@pytest.mark.parametrize("m", [2, 3, 4])
def test_the_margin_falls_with_the_angle_without_a_jump_and_never_helps(m):
    angles = np.linspace(0, math.pi, 2001)
    logits = np.array([true_logit_at(theta, m) for theta in angles])
    steps = np.diff(logits)
    assert (steps < 0).all()
    assert (-steps).max() <= 6 * m * (angles[1] - angles[0]) * 1.001  # |d psi / d theta| <= m, times the lengths
    assert (logits <= 6 * np.cos(angles) + 1e-9).all()


def test_a_margin_of_one_or_an_endless_annealing_changes_nothing():
    x, W, b, labels = random_head()
    logits = x @ W.T + b
    torch.testing.assert_close(losses.with_margin(logits, x, W, labels, 0.0, m=1), logits)
    torch.testing.assert_close(losses.with_margin(logits, x, W, labels, 1e12), logits)


def test_the_margin_has_the_gradient_of_its_differences():
    x, W, b, labels = random_head(n=8)
    x, W = x.requires_grad_(), W.requires_grad_()
    assert torch.autograd.gradcheck(lambda x, W: losses.with_margin(x @ W.T + b, x, W, labels, 0.5), (x, W))


def test_features_of_zero_have_a_margin_and_a_gradient_that_are_finite():
    x, W = torch.zeros(2, 3, requires_grad=True), torch.randn(N_CLASSES, 3, requires_grad=True)
    value = losses.with_margin(x @ W.T, x, W, torch.tensor([0, 1]), 1.0)
    value.sum().backward()
    assert torch.equal(value, torch.zeros(2, N_CLASSES))
    assert x.grad.isfinite().all()
    assert W.grad.isfinite().all()


@pytest.mark.parametrize(("progress", "annealing"), [(0.0, 1000.0), (1.0, 5.0), (0.5, math.sqrt(1000 * 5))])
def test_large_margin_softmax_anneals_geometrically(progress, annealing):
    network, (images, labels) = Watched(), batch()
    value, logits = losses.large_margin_softmax(network, images, labels, progress), network(images)
    margined = losses.with_margin(logits, images.flatten(1), network.head.weight, labels, annealing)
    assert value.item() == pytest.approx(nll(margined, labels).mean().item(), rel=1e-6)
    assert value > nll(logits, labels).mean()


# Taylor softmax -------------------------------------------------------------------------------------------------------


def taylor_probabilities(z):
    polynomials = [[1 + v + v * v / 2 for v in row] for row in z.tolist()]
    return torch.tensor([[f / sum(row) for f in row] for row in polynomials])


def test_taylor_softmax_is_that_of_a_literal_evaluation():
    network, (images, labels) = Watched(), batch()
    value = losses.taylor_softmax(network, 4 * images, labels, 0.0)
    p = taylor_probabilities(network(4 * images))
    assert value.item() == pytest.approx(-p[torch.arange(len(labels)), labels].log().mean().item(), rel=1e-5)


def test_taylor_softmax_of_known_logits():
    network = Watched()
    nn.init.zeros_(network.head.weight)
    network.head.bias.data = torch.tensor([0.0, 2.0, -1.0, -4.0, 0.0])
    images, _ = batch(1)
    total = 1 + (1 + 2 + 2) + (1 - 1 + 0.5) + (1 - 4 + 8) + 1
    for k, polynomial in enumerate((1, 5, 0.5, 5, 1)):  # -4 counts as much as 2: the polynomial is even about -1
        value = losses.taylor_softmax(network, images, torch.tensor([k]), 0.0)
        assert value.item() == pytest.approx(-math.log(polynomial / total), rel=1e-6)


def test_near_zero_logits_taylor_softmax_has_the_gradient_of_cross_entropy():
    gradients = []
    images, labels = batch()
    for loss in (losses.cross_entropy, losses.taylor_softmax):
        network = Watched()
        nn.init.zeros_(network.head.weight)
        nn.init.zeros_(network.head.bias)
        loss(network, images, labels, 0.0).backward()
        gradients.append(network.head.weight.grad)
    torch.testing.assert_close(*gradients)


def test_an_adapted_network_gives_the_probabilities_it_was_trained_for():
    network, (images, _) = Watched(), batch()
    own = 4 * network(images).detach()
    network.head.weight.data *= 4
    network.head.bias.data *= 4
    for name in losses.LOSSES:
        if name != "taylor_softmax":
            assert torch.equal(losses.adapt(network, name)(images), network(images))
            torch.testing.assert_close(network(images), own)
    assert losses.adapt(network, "taylor_softmax") is network
    torch.testing.assert_close(network(images).softmax(1), taylor_probabilities(own))


# In training ----------------------------------------------------------------------------------------------------------

RECIPE = training.Recipe(epochs=16, batch_size=16, learning_rate=0.05)


def easy(n=64, n_classes=4):
    """Images that only differ by which quarter is bright."""
    labels = np.arange(n, dtype=np.int64) % n_classes
    images = np.random.default_rng(0).integers(0, 60, (n, 3, 32, 32), dtype=np.uint8)
    for image, k in zip(images, labels, strict=True):
        image[:, 16 * (k // 2) : 16 * (k // 2) + 16, 16 * (k % 2) : 16 * (k % 2) + 16] += 150
    return images, labels


@pytest.mark.parametrize("name", losses.LOSSES)
def test_every_loss_trains_and_the_same_seed_gives_the_same_bits(name):
    weights = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        state = torch.get_rng_state()
        network = models.build("mobilenet_v1", 4, seed=0)
        training.fit(network, *easy(), RECIPE, seed=3, loss=name)
        assert torch.equal(torch.get_rng_state(), state)
        weights.append(network.state_dict())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert training.accuracy(losses.adapt(network, name), *easy()) > 60


def test_the_losses_train_to_different_weights():
    heads = []
    for name in losses.LOSSES:
        network = models.build("mobilenet_v1", 4, seed=0)
        training.fit(network, *easy(), training.Recipe(1, 16, 0.05), seed=0, loss=name)
        heads.append(last_layer.find(network).weight)
    assert all(not torch.equal(a, b) for i, a in enumerate(heads) for b in heads[:i])


def test_without_a_name_training_is_by_cross_entropy():
    heads = []
    for options in ({}, {"loss": "cross_entropy"}):
        network = models.build("mobilenet_v1", 4, seed=0)
        training.fit(network, *easy(), training.Recipe(1, 16, 0.05), seed=0, **options)
        heads.append(last_layer.find(network).weight)
    assert torch.equal(*heads)


def test_cross_entropy_training_is_the_plain_loop_bit_for_bit():
    images, labels = easy()
    recipe = training.Recipe(epochs=2, batch_size=16, learning_rate=0.05, shift=0)
    ours, plain = (models.build("resnet34", 4, seed=0) for _ in range(2))
    training.fit(ours, images, labels, recipe, seed=5)
    x, y, draws = training.prepare(images), torch.tensor(labels), torch.Generator().manual_seed(5)
    optimiser = torch.optim.SGD(plain.parameters(), 0.05, 0.9, weight_decay=5e-4, nesterov=True, fused=True)
    rates = iter(training_loop.learning_rates(recipe, 8, decay=training_loop.cosine))
    plain.train()
    for _ in range(2):
        for chosen in torch.randperm(64, generator=draws).view(4, 16):
            optimiser.param_groups[0]["lr"] = next(rates)
            torch.randint(1, (2,), generator=draws)  # the shift of the step, here none
            optimiser.zero_grad()
            functional.cross_entropy(plain(x[chosen]), y[chosen]).backward()
            nn.utils.clip_grad_norm_(list(plain.parameters()), 5.0)
            optimiser.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.state_dict().values(), plain.state_dict().values(), strict=True))


def test_a_mistyped_loss_is_answered_with_the_nearest_name():
    network = models.build("mobilenet_v1", 4, seed=0)
    with pytest.raises(ValueError, match="unknown loss 'mixp'.*did you mean 'mixup'"):
        training.fit(network, *easy(), RECIPE, seed=0, loss="mixp")


# In the pool ----------------------------------------------------------------------------------------------------------


def pretrained(loss):
    spec = {
        "architecture": "mobilenet_v1", "source": "digits", "loss": loss, "max_per_class": 4, "seed": 0,
        "recipe": {"epochs": 1, "batch_size": 16, "learning_rate": 0.05},
    }  # fmt: skip
    return spec, classification.pretrain(spec)


def test_models_are_fine_tuned_by_cross_entropy_whatever_trained_them(root):
    spec, arrays = pretrained("taylor_softmax")
    target = {"target": "digits", "max_per_class": 4, "seed": 0, "recipe": spec["recipe"]}
    tuned = [
        classification.finetune(target, spec | {"loss": loss}, arrays) for loss in ("taylor_softmax", "cross_entropy")
    ]
    assert tuned[0]["loss"].tolist() == tuned[1]["loss"].tolist()
    assert tuned[0]["accuracy"] == tuned[1]["accuracy"]


def test_source_probabilities_are_those_of_the_loss(root):
    spec, arrays = pretrained("taylor_softmax")
    target = {"target": "digits", "split": "train", "max_per_class": 4}
    taylor, plain = (
        classification.extract(target, spec | {"loss": loss}, arrays) for loss in ("taylor_softmax", "mixup")
    )
    assert np.array_equal(taylor["features"], plain["features"])
    head = last_layer.find(classification.restore(spec, arrays))
    logits = head(torch.from_numpy(plain["features"])).detach()
    np.testing.assert_allclose(plain["source_probs"], logits.softmax(1), atol=1e-5)
    np.testing.assert_allclose(taylor["source_probs"], taylor_probabilities(logits), atol=1e-5)
