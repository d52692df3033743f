"""Models as people have them: heads of every kind, keys that miss nothing, weights under any prefix, texts of any
length.
"""

import contextlib
import functools
import math
import types
import warnings

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional
from torchvision import transforms
from torchvision.transforms import v2

import ncrepro
from ncrepro import metrics
from ncrepro.extraction import devices, last_layer, networks, object_digest, preprocessing
from ncrepro.extraction.features import ImageModel, extract
from ncrepro.extraction.folders import Photos
from ncrepro.extraction.preprocessing import IMAGENET, REDUCED
from ncrepro.extraction.samples import Texts
from ncrepro.extraction.text_models import TextModel
from ncrepro.rank_your_own.models import resolve

CPU = torch.device("cpu")


def seen(network, x=None):
    """Features and source probabilities of four images of noise, what the network returns of them, and what it was
    shown.
    """
    x = torch.randint(0, 255, (4, 3, 40, 40), dtype=torch.uint8, generator=torch.manual_seed(0)) if x is None else x
    shown = IMAGENET.normalise(x)
    with torch.inference_mode():  # as some readers call it
        H, probs = ImageModel("it", network.eval(), IMAGENET)(x)
    return H.clone(), probs, network(shown), shown


class Net(nn.Module):
    """A body of 6 features; what comes after it is given."""

    def __init__(self, after, **layers):
        super().__init__()
        torch.manual_seed(0)
        for name, layer in layers.items():  # before the body: the last layer by name is not the last in use
            setattr(self, name, layer)
        self.body = nn.Sequential(
            nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 6), nn.Tanh()
        )
        self.after = after

    def forward(self, x):
        return self.after(self, self.body(x))


class Masked(nn.Module):
    """Multiplies maps by a mask that a convolution with one output makes of them."""

    def __init__(self):
        super().__init__()
        self.mask = nn.Conv2d(6, 1, 1)

    def forward(self, x):
        return x * self.mask(x).sigmoid()


def both(p):
    return torch.cat([1 - p, p], 1)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.no_grad():
        yield


# Heads ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("resnet18", "fc"),
        ("mobilenet_v2", "classifier.1"),
        ("mobilenet_v3_small", "classifier.3"),
        ("alexnet", "classifier.6"),
        ("squeezenet1_1", "classifier"),
        ("squeezenet1_1", "classifier.1"),
        ("convnext_tiny", "classifier.2"),
    ],
)
def test_a_network_whose_head_was_cut_off_gives_what_it_returns(name, path):
    network = torchvision.models.get_model(name)
    network.set_submodule(path, nn.Identity())
    H, probs, out, _ = seen(network, torch.randint(0, 255, (2, 3, 80, 80), dtype=torch.uint8))
    assert probs is None
    torch.testing.assert_close(H, last_layer.mean_over_positions(out))


def test_a_convolution_that_is_a_head_is_one():
    network = torchvision.models.get_model("squeezenet1_1", num_classes=5)
    H, probs, out, _ = seen(network)
    assert H.shape == (4, 512) and torch.allclose(probs, out.softmax(1))


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(), nn.ReLU(inplace=True), nn.GELU(), nn.Hardtanh(inplace=True), nn.LayerNorm(6), nn.Sigmoid()],
)
def test_a_body_that_ends_in_an_activation_has_no_head(activation):
    network = Net(lambda net, h: net.last(net.hidden(h)), hidden=nn.Linear(6, 6), last=activation)
    nn.init.constant_(network.hidden.bias, 9)  # even if the activation changes nothing
    H, probs, out, _ = seen(network)
    assert probs is None and torch.equal(H, out)


@pytest.mark.parametrize(
    ("end", "as_probs"),
    [
        (lambda z: z, lambda z: z.softmax(1)),
        (lambda z: z.view(len(z), -1), lambda z: z.softmax(1)),
        (lambda z: z.softmax(1), lambda z: z.softmax(1)),
        (lambda z: z.log_softmax(1), lambda z: z.softmax(1)),
        (lambda z: (z / 3).softmax(1), lambda z: (z / 3).softmax(1)),
        (nn.Softmax(dim=1), lambda z: z.softmax(1)),
        (lambda z: functional.dropout(z, 0.5, training=False), lambda z: z.softmax(1)),
    ],
)
def test_a_network_may_end_in_logits_in_a_softmax_or_in_its_logarithm(end, as_probs):
    network = Net(lambda net, h: end(net.fc(h)), fc=nn.Linear(6, 5))
    H, probs, _, shown = seen(network)
    torch.testing.assert_close(H, network.body(shown))
    torch.testing.assert_close(probs, as_probs(network.fc(network.body(shown))))


@pytest.mark.parametrize(
    "end", [functional.normalize, lambda z: functional.normalize(z, out=z), lambda z: z / 3, lambda z: z.div_(3)]
)
def test_an_output_that_is_normalised_or_scaled_is_an_embedding_and_no_classifier(end):
    H, probs, out, _ = seen(Net(lambda net, h: end(net.embed(h)), embed=nn.Linear(6, 5)))
    assert probs is None and torch.equal(H, out)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda net: nn.Sequential(net, nn.Softmax(1)),
        lambda net: nn.Sequential(nn.Identity(), net),
        lambda net: nn.Sequential(net, nn.LogSoftmax(1)),
    ],
)
@pytest.mark.parametrize("size", [40, 20])  # several positions, and one
def test_a_convolution_that_is_a_head_is_found_in_any_network(wrap, size):
    squeezenet = torchvision.models.get_model("squeezenet1_1", num_classes=5)
    x = torch.randint(0, 255, (4, 3, size, size), dtype=torch.uint8, generator=torch.manual_seed(0))
    H, probs, _, shown = seen(wrap(squeezenet), x)
    torch.testing.assert_close(H, squeezenet.features(shown).mean((2, 3)))
    torch.testing.assert_close(probs, squeezenet(shown).softmax(1))


@pytest.mark.parametrize("first", [nn.Identity(), nn.AdaptiveAvgPool2d(1)])
@pytest.mark.parametrize("last", [nn.Flatten(), nn.Identity()])
def test_a_network_of_convolutions_may_end_in_a_head_before_or_after_its_pooling(first, last):
    body = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU())
    network = nn.Sequential(body, first, nn.Conv2d(6, 5, 1), nn.AdaptiveAvgPool2d(1), last)
    H, probs, out, shown = seen(network)
    torch.testing.assert_close(H, body(shown).mean((2, 3)))
    torch.testing.assert_close(probs, out.flatten(1).softmax(1))
    network[2] = nn.Sequential(network[2], nn.BatchNorm2d(5))  # then it is none
    H, probs, out, _ = seen(network)
    assert probs is None and torch.equal(H, last_layer.mean_over_positions(out))


def test_a_head_may_look_at_each_token_before_the_mean():
    network = Net(lambda net, h: net.head(h.reshape(len(h), 2, 3)).mean(1), head=nn.Linear(3, 5))
    H, probs, out, shown = seen(network)
    torch.testing.assert_close(H, network.body(shown).reshape(-1, 2, 3).mean(1))
    torch.testing.assert_close(probs, out.softmax(1))


@pytest.mark.parametrize("end", [lambda z: z, lambda z: z.sigmoid()])
def test_a_single_output_is_no_classifier(end):
    H, probs, _, shown = seen(network := Net(lambda net, h: end(net.fc(h)), fc=nn.Linear(6, 1)))
    assert probs is None and H.shape == ((4, 6) if end(torch.tensor(-1.0)) == -1 else (4, 1))
    images = np.random.default_rng(0).integers(0, 255, (8, 40, 40, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="a has no source classifier, which metric 'leep' needs"):
        ncrepro.rank(
            images, dict.fromkeys("ab", (network, REDUCED)), "leep", labels=[0, 1] * 4, progress=False, cache=False
        )


@pytest.mark.parametrize(
    ("end", "altered"),
    [
        (lambda net, h: net.one(h).clone(), True),
        (lambda net, h: net.one(h) / 3, True),
        (lambda net, h: net.one(h).sigmoid(), True),
        (lambda net, h: net.one(h) + net.two(h), True),
        (lambda net, h: net.one(torch.stack([h, 2 * h], 1))[:, 0], True),
        (lambda net, h: net.one(h), False),
        (lambda net, h: net.one(h).relu(), False),
        (lambda net, h: functional.hardswish(net.one(h)), False),  # as in MobileNetV3 without its head
        (lambda net, h: net.norm(net.one(h)), False),
        (lambda net, h: h[:, :3], True),
        (lambda net, h: torch.cat([net.one(h), net.single(h)], 1), True),
        (lambda net, h: net.one(h) @ torch.arange(18.0).view(9, 2).sin(), True),
        (lambda net, h: net.one(h).view(len(h), 3, 3).mean(1), True),
        (lambda net, h: functional.pad(net.one(h), (0, 3)), True),
        (lambda net, h: torch.cat([net.one(h), net.two(net.body[4](h).relu())], 1), True),  # of heads of two depths
        (lambda net, h: (net.one(h), net.single(h))[0] / 3, True),  # another head is used after it
        (lambda net, h: functional.pad(net.one(h).relu(), (0, 3)), False),
        (lambda net, h: net.one(torch.stack([h, -h], 1)).relu().mean(1), False),
        (lambda net, h: torch.cat([net.one(h), h], 1), False),
        (lambda net, h: (z := net.one(h)) + net.nine(z.tanh()), False),  # a block with a sum around it
        (lambda net, h: net.one(h)[:, [0, 3]], True),
        (lambda net, h: net.norm(net.one(h))[:, [0, 3]], False),
        (lambda net, h: net.two_dimensional(h[:, :, None, None]), True),
        (lambda net, h: net.bilinear(h, h), True),
        (lambda net, h: net.one(torch.stack([h, -h], 1)).relu().amax(1), False),
        (lambda net, h: both(net.single(h).sigmoid()), True),
        (lambda net, h: both((1e5 * (net.single(h) - net.single(h).mean())).sigmoid()), True),  # one class has it all
        (lambda net, h: both(net.single(h).sigmoid()).log(), True),
        (lambda net, h: net.one(h).softmax(1).unflatten(1, (3, 3)).sum(2), True),
        (lambda net, h: net.norm(net.one(h)).softmax(1), False),
    ],
)
def test_features_that_may_be_logits_get_a_caution(end, altered, tmp_path):
    network = Net(
        end, one=nn.Linear(6, 9), two=nn.Linear(6, 9), norm=nn.BatchNorm1d(9), two_dimensional=nn.Conv2d(6, 9, 3, 1, 1),
        bilinear=nn.Bilinear(6, 6, 9), single=nn.Linear(6, 1), nine=nn.Linear(9, 9),
    ).eval()  # fmt: skip
    plain = Net(lambda net, h: h.relu()[:, :4])
    images = np.random.default_rng(0).integers(0, 255, (40, 40, 40, 3), dtype=np.uint8)
    table = ncrepro.rank(
        images, {"it": (network, REDUCED), "plain": (plain, REDUCED)}, "logme", labels=[0, 1] * 20, n_bootstrap=0,
        progress=False, cache=tmp_path,
    )  # fmt: skip
    caution = "features are outputs of a last layer, and may be logits"
    assert table.set_index("model")["caution"].str.contains(caution).to_dict() == {"it": altered, "plain": False}
    assert (
        f"{caution}: it; if they are, return those of a linear layer unaltered, or what goes into it"
        in table.attrs["cautions"]
    ) == altered


def test_a_network_whose_layers_cannot_be_seen_is_refused():
    network = Net(lambda net, h: net.fc(h), fc=nn.Linear(6, 5))
    with warnings.catch_warnings(action="ignore"):  # it is of yesterday
        script = torch.jit.trace(nn.Sequential(network.body, network.fc), torch.zeros(1, 3, 40, 40))
    with pytest.raises(ValueError, match="it is TorchScript.*: give the torch.nn.Module that it was made of"):
        seen(script)


@pytest.mark.parametrize(
    "last", [nn.Identity(), nn.LayerNorm(6), nn.Linear(6, 6), nn.Sequential(nn.LayerNorm(6), nn.GELU())]
)
def test_channels_may_come_last(last):
    body = nn.Conv2d(3, 6, 8, 8)
    network = nn.Sequential(body, torchvision.ops.Permute([0, 2, 3, 1]), last)
    if isinstance(last, nn.Identity):
        network.append(nn.Linear(6, 9))
    H, probs, out, shown = seen(network)
    assert out.shape[1:3] == (5, 5) and probs is None
    torch.testing.assert_close(H, out.mean((1, 2)))
    H, _, out, _ = seen(network.append(torchvision.ops.Permute([0, 3, 1, 2])))  # and first again
    torch.testing.assert_close(H, out.mean((2, 3)))


@pytest.mark.parametrize("last", [nn.Identity(), nn.LayerNorm(5), nn.GroupNorm(1, 5)])
def test_channels_come_first_where_either_side_may_hold_them(last):
    H, _, out, _ = seen(nn.Sequential(nn.Conv2d(3, 5, 8, 8), last))
    assert out.shape[1:] == (5, 5, 5)
    torch.testing.assert_close(H, out.mean((2, 3)))


def test_a_mask_of_one_channel_does_not_turn_pooled_maps_around():
    network = nn.Sequential(nn.Conv2d(3, 6, 8, 8), Masked(), nn.AdaptiveAvgPool2d((2, 1)))
    H, _, out, _ = seen(network)
    torch.testing.assert_close(H, out.mean((2, 3)))


def test_swin_gives_its_channels():
    timm = pytest.importorskip("timm")
    x = torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.manual_seed(0))
    for network in (
        torchvision.models.swin_t().features,
        timm.create_model("swin_tiny_patch4_window7_224", img_size=64, num_classes=0, global_pool=""),
    ):
        H, _, out, _ = seen(network, x)
        assert H.shape == (2, 768)
        torch.testing.assert_close(H, out.mean((1, 2)))


def test_of_two_heads_the_one_that_is_returned_counts():
    first = Net(lambda net, h: (net.one(h), net.two(h * 2))[0], one=nn.Linear(6, 5), two=nn.Linear(6, 5))
    second = Net(lambda net, h: (net.one(h), net.two(h * 2))[1], two=nn.Linear(6, 5), one=nn.Linear(6, 5))
    for network, head, factor in ((first, "one", 1), (second, "two", 2)):
        H, probs, _, shown = seen(network)
        torch.testing.assert_close(H, factor * network.body(shown))
        torch.testing.assert_close(probs, getattr(network, head)(H).softmax(1))
    with pytest.raises(ValueError, match="it returns a tuple; allowed are .*if it returns several things, wrap it"):
        seen(Net(lambda net, h: (net.one(h), h), one=nn.Linear(6, 5)))
    with pytest.raises(ValueError, match="it returns a Tensor of shape .5,."):
        seen(Net(lambda net, h: net.one(h).mean(0), one=nn.Linear(6, 5)))


def test_the_two_heads_of_a_distilled_network_are_averaged():
    timm = pytest.importorskip("timm")
    network = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=5)
    x = torch.randint(0, 255, (2, 3, 224, 224), dtype=torch.uint8)
    for head in (network.head, network.head_dist):
        nn.init.normal_(head.weight)
    H, probs, out, shown = seen(network, x)
    assert H.shape == (2, 192)
    torch.testing.assert_close(probs, out.softmax(1))
    torch.testing.assert_close(H, network.forward_head(network.forward_features(shown), pre_logits=True))


class Mean(nn.Module):
    """The mean of what networks return, each of which is shown the images and their mirror images, if ``flip``."""

    def __init__(self, *networks, flip=False):
        super().__init__()
        self.networks, self.views = nn.ModuleList(networks), 2 if flip else 1

    def forward(self, x):
        return torch.stack([net(view) for net in self.networks for view in (x, x.flip(3))[: self.views]]).mean(0)


def pooling(d, *head):
    return nn.Sequential(nn.Conv2d(3, d, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), *head)


@pytest.mark.parametrize("n", [2, 3])
def test_features_of_several_networks_are_not_averaged(n):
    mean = Mean(*(pooling(6, nn.Linear(6, 5)) for _ in range(n)))
    H, probs, out, _ = seen(mean)
    assert probs is None and torch.equal(H, out)
    assert last_layer.split(mean, torch.rand(4, 3, 40, 40), "it").altered


def test_features_of_two_views_are_averaged():
    network = pooling(6, nn.Linear(6, 5))
    H, probs, out, shown = seen(Mean(network, flip=True))
    torch.testing.assert_close(H, (network[:-1](shown) + network[:-1](shown.flip(3))) / 2)
    torch.testing.assert_close(probs, out.softmax(1))


def test_a_network_of_timm_without_its_head_gives_what_it_returns():
    timm = pytest.importorskip("timm")
    for name in ("resnet10t", "mobilenetv3_small_050", "convnext_atto"):
        network = timm.create_model(name, num_classes=0)
        H, probs, out, _ = seen(network, torch.randint(0, 255, (2, 3, 64, 64), dtype=torch.uint8))
        assert probs is None and torch.equal(H, out)


def test_a_network_comes_back_on_the_device_and_in_the_modes_it_came_in(monkeypatch):
    network, images = (
        Net(lambda net, h: net.fc(net.drop(h)), fc=nn.Linear(6, 5), drop=nn.Dropout()),
        np.zeros((4, 40, 40, 3), np.uint8),
    )
    network.train()
    network.body.eval()
    network.register_buffer("kept", torch.zeros(2))
    images[::2] = 200
    before = {name: module.training for name, module in network.named_modules()}
    run = ncrepro.rank(
        images,
        {"a": (network, REDUCED), "b": (Net(lambda net, h: h[:, :3]), REDUCED)},
        "logme",
        labels=[0, 1] * 2,
        n_bootstrap=0,
        progress=False,
        cache=False,
    )
    assert len(run) == 2 and {name: module.training for name, module in network.named_modules()} == before
    moves = []
    monkeypatch.setattr(nn.Module, "to", lambda self, place: moves.append(place) or self)
    with pytest.raises(KeyError), devices.on_device(network, torch.device("meta")):
        raise KeyError
    assert moves == [torch.device("meta"), CPU]
    assert {name: module.training for name, module in network.named_modules()} == before


# Networks, transforms and options as people have them -----------------------------------------------------------------


class Lenet(nn.Module):
    """As in many a tutorial: `view` wants the channels first in memory."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.hidden, self.fc = nn.Conv2d(3, 6, 5), nn.Linear(6 * 36 * 36, 8), nn.Linear(8, 5)

    def forward(self, x):
        return self.fc(self.hidden(self.conv(x).view(-1, 6 * 36 * 36)).relu())


def test_a_network_may_view_its_maps_as_rows():
    x = torch.randint(0, 255, (4, 40, 40, 3), dtype=torch.uint8).permute(0, 3, 1, 2)  # as batches lie in memory
    network, shown = Lenet(), IMAGENET.normalise(x)
    H, probs = ImageModel("it", network, IMAGENET)(x)
    out = network(shown.contiguous())
    assert H.shape == (4, 8)
    torch.testing.assert_close(network.fc(H), out)
    torch.testing.assert_close(probs, out.softmax(1))


@pytest.mark.parametrize("end", [lambda z: z.float(), lambda z: z.softmax(1), lambda z: z.log_softmax(1).float()])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_head_of_low_precision_is_one(end, dtype):
    network = Net(lambda net, h: end(net.fc(h)), fc=nn.Linear(6, 100)).to(dtype).eval()
    x = torch.randint(0, 255, (4, 3, 40, 40), dtype=torch.uint8, generator=torch.manual_seed(0))
    H, probs = ImageModel("it", network, IMAGENET)(x)
    expected = network.body(IMAGENET.normalise(x).to(dtype))
    torch.testing.assert_close(H, expected)
    torch.testing.assert_close(probs, network.fc(expected).float().softmax(1), atol=1e-3, rtol=0.1)
    torch.testing.assert_close(probs.sum(1), torch.ones(4), atol=1e-2, rtol=0)


def test_a_distribution_that_several_networks_make_is_no_softmax_of_ones():
    network = Net(
        lambda net, h: (net.one(h).softmax(1) + net.two(h).softmax(1)) / 2, one=nn.Linear(6, 5), two=nn.Linear(6, 5)
    )
    network.two.load_state_dict({key: 2 * value for key, value in network.one.state_dict().items()})  # one choice
    H, probs, out, _ = seen(network)
    assert probs is None and torch.equal(H, out)
    network = Net(lambda net, h: (1e5 * net.one(h)).softmax(1), one=nn.Linear(6, 5))  # of which one class has it all
    H, probs, out, _ = seen(network)
    assert H.shape == (4, 6) and torch.equal(probs, out)


class Cosine(nn.Module):
    def __init__(self, in_features, out_features):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.randn(out_features, in_features, generator=torch.manual_seed(0)))

    def forward(self, x):
        return functional.linear(functional.normalize(x), functional.normalize(self.weight))


def test_a_layer_that_is_called_linear_may_be_a_head():
    H, probs, out, shown = seen(network := Net(lambda net, h: net.fc(h), fc=Cosine(6, 5)))
    torch.testing.assert_close(H, network.body(shown))
    torch.testing.assert_close(probs, out.softmax(1))


@pytest.mark.parametrize(("end", "is_head"), [(lambda z: z, True), (lambda z: z.relu(), False)])
@pytest.mark.filterwarnings("ignore")  # torch will move its quantisation to another package
def test_a_quantised_head_is_one_and_its_features_are_dense(end, is_head):
    head = torch.ao.nn.quantized.Linear(6, 5)
    head.set_weight_bias(torch.quantize_per_tensor(torch.eye(6)[:5], 1 / 64, 0, torch.qint8), torch.full((5,), -0.01))
    head.scale, head.zero_point = 1 / 128, 64
    network = Net(lambda net, h: end(net.fc(torch.quantize_per_tensor(h, 1 / 64, 64, torch.quint8)).dequantize()))
    network.fc = head
    with deterministic(False):
        H, probs, out, shown = seen(network)
    if is_head:
        torch.testing.assert_close(H, network.body(shown), atol=1 / 128, rtol=0)
        torch.testing.assert_close(probs, out.softmax(1))
    else:
        assert probs is None and torch.equal(H, out)


@contextlib.contextmanager
def deterministic(only):
    setting = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(only)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(setting)


def test_an_operation_that_has_no_deterministic_form_is_named_and_what_to_do():
    network = Net(lambda net, h: h.clone().put_(torch.tensor([0]), torch.ones(1)))
    with (
        deterministic(True),
        pytest.raises(ValueError, match="it needs put_, which .*: set NCREPRO_ARITHMETIC=native in the environment"),
    ):
        seen(network)


@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64, torch.bool])
def test_what_is_no_dense_number_is_refused(dtype):
    with pytest.raises(ValueError, match=f"it returns numbers of type {dtype}"):
        seen(Net(lambda net, h: h.to(dtype)))
    with pytest.raises(ValueError, match="it returns numbers of type torch.float32 .torch.sparse_coo"):
        seen(Net(lambda net, h: h.to_sparse()))


@pytest.mark.parametrize("error", [TypeError, KeyError, ValueError, AttributeError, NotImplementedError])
def test_whatever_a_network_raises_is_a_sentence(error):
    def fail(net, h):
        raise error("this")

    with pytest.raises(
        ValueError, match=f"it cannot take a batch of 4 images of shape .*{error.__name__}: .*this.*wrap it"
    ):
        seen(Net(fail))


def test_an_exported_network_is_refused_and_one_without_weights_too():
    network = Net(lambda net, h: net.fc(h), fc=nn.Linear(6, 5)).eval()
    exported = torch.export.export(network, (torch.zeros(4, 3, 32, 32),)).module()
    with pytest.raises(ValueError, match="it holds weights but calls no layer, as an exported network does"):
        extract(resolve({"it": (exported, REDUCED)}, "images")[0].load(), some_photos(), CPU)
    for empty in (nn.Sequential(nn.LazyLinear(5)), nn.Linear(6, 5, device="meta")):
        with pytest.raises(ValueError, match="model 'it' has layers without weights"):
            resolve({"it": (empty, REDUCED)}, "images")


def photographs(n=40):
    return np.random.default_rng(0).integers(0, 255, (n, 40, 40, 3), dtype=np.uint8)


def some_photos(n=4):
    return Photos("d", "train", photographs(n), np.arange(n) % 2, ("a", "b"), "all")


class OwnTrain(Net):
    """Its statistics are always of the batch, whatever `eval` says; and it counts."""

    def __init__(self):
        super().__init__(lambda net, h: net.fc(net.norm(h)), norm=nn.BatchNorm1d(6), fc=nn.Linear(6, 5))
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x):
        self.count = self.count + 1
        return super().forward(x)

    def train(self, mode=True):
        super().train(mode)
        self.norm.train()
        return self


class Trained(Net):
    def train(self, loader, epochs):
        raise AssertionError("nobody asked for a training run")


def test_a_network_with_a_train_of_its_own_is_evaluated_and_comes_back_as_it_was(tmp_path):
    own, other = OwnTrain(), Trained(lambda net, h: net.fc(h), fc=nn.Linear(6, 4))
    before = {key: value.clone() for key, value in own.state_dict().items()}
    table = ncrepro.rank(
        photographs(), {"own": (own, REDUCED), "other": (other, REDUCED)}, "logme", labels=[0, 1] * 20, n_bootstrap=0,
        progress=False, cache=False,
    )  # fmt: skip
    assert not table["caution"].str.contains("not the same twice").any()
    assert all(torch.equal(own.state_dict()[key], value) for key, value in before.items()) and own.norm.training


@pytest.mark.parametrize(
    ("after", "layers", "transform"),
    [
        (lambda net, h: functional.dropout(h), {}, REDUCED),
        (lambda net, h: net.norm(h), {"norm": nn.BatchNorm1d(6, track_running_stats=False)}, REDUCED),
        (lambda net, h: net.hidden[0](h), {"hidden": [nn.Dropout()]}, REDUCED),
        (lambda net, h: h, {}, transforms.Compose([transforms.RandomCrop(20), transforms.ToTensor()])),
    ],
)
def test_features_that_are_not_the_same_twice_get_a_caution(after, layers, transform, tmp_path):
    pool = {"it": (Net(after, **layers), transform), "steady": (Net(lambda net, h: h[:, :4]), REDUCED)}
    for _ in range(2):  # taken, and found again
        table = ncrepro.rank(
            photographs(), pool, "logme", labels=[0] * 20 + [1] * 20, n_bootstrap=0, progress=False, cache=tmp_path
        )
        flags = table.set_index("model")["caution"].str.contains("features are not the same twice")
        assert flags.to_dict() == {"it": True, "steady": False}
        assert any(line.startswith("features are not the same twice: it; give") for line in table.attrs["cautions"])


def test_widths_that_differ_between_batches_are_named():
    model = resolve({"it": (Net(lambda net, h: h[:, : len(h) + 1]), REDUCED)}, "images")[0].load()
    data = some_photos(6)
    with pytest.raises(ValueError, match="its features are 5 wide for the first samples and 3 wide from sample 4 on"):
        extract(model, data, CPU, 4)


def test_features_do_not_rest_on_where_rank_is_called():
    pool = {"a": (Net(lambda net, h: h), REDUCED), "b": (Net(lambda net, h: h[:, :4]), REDUCED)}

    def go():
        return ncrepro.rank(
            photographs(), pool, "logme", labels=[0, 1] * 20, n_bootstrap=0, progress=False, cache=False
        )

    expected = go()["logme"]
    with torch.autocast("cpu", torch.bfloat16):
        assert go()["logme"].equals(expected)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (lambda image: {"pixel_values": [1]}, "gives a dict; allowed is a tensor: give a function .*processor"),
        (lambda image: image, "gives a Image; allowed is a tensor"),
        (lambda image: None, "gives a NoneType; allowed is a tensor"),
        (transforms.PILToTensor(), "gives numbers of type torch.uint8; allowed are float"),
        (transforms.Normalize([0.5], [0.5]), "cannot take a PIL image of 40 x 40 pixels .TypeError: "),
        (lambda *, image: image, "cannot take a PIL image of 40 x 40 pixels .TypeError: "),
    ],
)
def test_what_a_transform_cannot_do_is_a_sentence(transform, message):
    with pytest.raises(ValueError, match=f"^it: the transform {message}"):
        ncrepro.rank(
            photographs(4), {"it": (Net(lambda net, h: h), transform), "b": (Net(lambda net, h: h), REDUCED)}, "logme",
            labels=[0, 1] * 2, n_bootstrap=0, progress=False, cache=False,
        )  # fmt: skip


def test_a_transform_may_keep_gradients():
    weight = nn.Parameter(torch.ones(3, 1, 1))
    with torch.enable_grad():
        made = preprocessing.Wrapped(lambda image: transforms.ToTensor()(image) * weight)(Image.new("RGB", (4, 4)))
    assert made.shape == (4, 4, 3)


def test_models_and_numbers_may_come_in_arrays(tmp_path):
    with pytest.raises(ValueError, match="unknown model 'resnet5'"):
        resolve(np.array(["resnet5", "resnet50"]), "images")
    pool = {"a": (nn.Flatten(), REDUCED), "b": (nn.Sequential(nn.AvgPool2d(8), nn.Flatten()), REDUCED)}
    options = {"labels": [0, 1] * 10, "n_bootstrap": np.int64(2), "seed": np.int32(1), "progress": False}
    assert len(ncrepro.rank(photographs(20), pool, "knn", cache=tmp_path, **options)) == 2
    with pytest.raises(ValueError, match="cache is 5; allowed is True, False or a folder"):
        ncrepro.rank(photographs(20), pool, "knn", cache=5, **options)


# Keys -----------------------------------------------------------------------------------------------------------------


def halved(image):
    return image.resize((20, 20))


class Turned:
    def __init__(self, degrees):
        self.degrees = degrees

    def __call__(self, image):
        return image.rotate(self.degrees)

    def __repr__(self):
        return "Turned()"  # says nothing


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (transforms.Resize(20), transforms.Resize(21)),
        (transforms.Compose([halved, transforms.ToTensor()]), transforms.Compose([transforms.ToTensor()])),
        (v2.ToDtype(torch.float32, scale=True), v2.ToDtype(torch.float64, scale=True)),
        (Turned(10), Turned(20)),
        (v2.Lambda(halved), v2.Lambda(Image.Image.copy)),
        (transforms.Normalize([0.0], [1.0]), transforms.Normalize([0.0], [2.0])),
    ],
)
def test_the_key_of_a_transform_says_what_it_does(one, other):
    assert object_digest.of(one) == object_digest.of(one) != object_digest.of(other) != None  # noqa: E711


@pytest.mark.parametrize(
    "hidden",
    [
        transforms.Lambda(lambda image: image),
        v2.Lambda(lambda image: image),
        lambda image: image,
        transforms.Compose([lambda image: image]),
    ],
)
def test_what_cannot_be_identified_has_no_key(hidden):
    def local(image):
        return image

    assert object_digest.of(hidden) is None and object_digest.of(transforms.Lambda(local)) is None
    typed = type("Typed", (), {"__module__": "__main__"})
    assert object_digest.of(typed()) is None or "__main__" == __name__


class Scaled(nn.Module):
    """Two of these differ in nothing that a repr or a state dict shows."""

    def __init__(self, scale=1.0):
        super().__init__()
        self.scale, self.fc = scale, nn.Linear(2, 2)
        self.register_buffer("shift", torch.tensor([scale]), persistent=False)
        nn.init.ones_(self.fc.weight)
        nn.init.ones_(self.fc.bias)


def test_the_key_of_a_network_says_all_that_it_holds():
    assert repr(Scaled(1.0)) == repr(Scaled(2.0)) and object_digest.of(Scaled(1.0)) == object_digest.of(
        Scaled(1.0)
    ) != object_digest.of(Scaled(2.0))
    other = Scaled()
    other.fc.weight.data[0, 0] += 1e-7
    assert object_digest.of(other) != object_digest.of(Scaled())
    other = Scaled()
    other.fc.register_forward_hook(lambda *_: None)
    assert object_digest.of(other) is None
    assert object_digest.of(Scaled().to("meta")) is None
    assert object_digest.of(Scaled().bfloat16()) != object_digest.of(Scaled())


def test_the_key_follows_the_file_that_a_class_is_from(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    keys = []
    for i in range(2):
        (tmp_path / f"mine{i}.py").write_text(
            f"class Mine:\n    def __call__(self, image):\n        return image.rotate({i})\n"
        )
        keys.append(object_digest.of(__import__(f"mine{i}").Mine()))
    import mine0

    (tmp_path / "mine0.py").write_text("class Mine:\n    pass\n")
    assert None not in keys and len({*keys, object_digest.of(mine0.Mine())}) == 3


ANGLE, TABLE = 0, {"it": 0}


def turned(image, more=0):
    return halved(image).rotate(ANGLE + more)


def turned_by(angle):
    @functools.wraps(halved)
    def turn(image):
        return halved(image).rotate(angle)

    return turn


class ByClass:
    angle = 0

    def __call__(self, image):
        return turned(image, self.angle)


class ByTable:
    def __init__(self, key="it"):
        self.key = key

    def __call__(self, image):
        return image.rotate(TABLE[self.key])


class Forgetful(Turned):
    def __getstate__(self):
        return {"degrees": 0}


class Decorated(Scaled):
    @torch.no_grad()
    def forward(self, x):
        return self.fc(x) * ANGLE


class Again:
    """Names itself, and is one of those that it names."""

    def __call__(self, image):
        return [Again, again]


def again(image):
    return Again()(again(image))


@functools.lru_cache
def cached(image):
    return image


@pytest.mark.parametrize(
    ("thing", "change"),
    [
        (lambda: turned, lambda patch: patch.setattr(f"{__name__}.ANGLE", 90)),
        (lambda: turned, lambda patch: patch.setattr(turned, "__defaults__", (90,))),
        (ByClass, lambda patch: patch.setattr(ByClass, "angle", 90)),
        (ByClass, lambda patch: patch.setattr(f"{__name__}.ANGLE", 90)),
        (lambda: ByClass().__call__, lambda patch: patch.setattr(ByClass, "angle", 90)),
        (ByTable, lambda patch: patch.setitem(TABLE, "it", 90)),
        (Decorated, lambda patch: patch.setattr(f"{__name__}.ANGLE", 90)),
    ],
)
def test_the_key_follows_the_values_that_code_rests_on(thing, change, monkeypatch):
    before = object_digest.of(thing())
    assert before is not None and before == object_digest.of(thing())
    change(monkeypatch)
    assert object_digest.of(thing()) not in (before, None)


@pytest.mark.parametrize("thing", [turned_by(90), transforms.Compose([turned_by(0)]), Forgetful(1), cached])
def test_what_leaves_out_something_has_no_key(thing):
    assert object_digest.of(thing) is None


@pytest.mark.parametrize("thing", [again, Again(), IMAGENET, preprocessing.Wrapped(halved)])
def test_what_names_itself_or_is_a_dataclass_has_a_key(thing):
    assert object_digest.of(thing) is not None


def once(thing, x):
    return x


def twice(thing, x):
    return x + x


def given(function):
    """A network with a method of its own, a transform with one, and one around a method."""
    network, resize = Scaled(), transforms.Resize(20)
    network.forward, resize.forward = types.MethodType(function, network), types.MethodType(function, resize)
    return network, resize, transforms.Lambda(types.MethodType(function, 3)), network.forward


def test_the_key_follows_a_method_that_an_object_was_given():
    for one, same, other, local in zip(given(once), given(once), given(twice), given(lambda *_: 0), strict=True):
        assert object_digest.of(one) == object_digest.of(same) != object_digest.of(other) != None  # noqa: E711
        assert object_digest.of(local) is None


def test_a_library_whose_method_was_replaced_gives_no_key(monkeypatch):
    thing = nn.Sequential(Scaled(), nn.PReLU())
    assert object_digest.of(thing) is not None
    for kind in (nn.PReLU, nn.Module):
        for patched in (once, torch.no_grad()(once), classmethod(once)):
            with monkeypatch.context() as patch:
                patch.setattr(kind, "extra_repr", patched)
                assert object_digest.of(thing) is None
    assert object_digest.of(thing) is not None


# Weights --------------------------------------------------------------------------------------------------------------

SMALL = "squeezenet1_1"


@pytest.fixture(scope="module")
def state():
    return torchvision.models.get_model(SMALL, num_classes=5).state_dict()


def before(prefix, state):
    return {prefix + key: value for key, value in state.items()}


def other(state):
    return {key: value + 1 for key, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: before("_orig_mod.module.", s),
        lambda s: {
            "state_dict": before("model.", s) | {"criterion.weight": torch.ones(5)},
            "epoch": 3,
            "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}},
        },
        lambda s: {"model": s, "model_ema": other(s), "args": None},
        lambda s: {"state_dict": s, "state_dict_ema": other(s)},
        lambda s: {"model_ema": s},
        lambda s: {"ema": {"decay": 0.9, "shadow": s}},
        lambda s: {"state_dict": before("net.", s) | before("ema_net.module.", other(s))},
        lambda s: {"n_averaged": torch.tensor(3)} | before("module.", s),
        lambda s: {"checkpoint": {"weights": before("module.backbone.", s)}},
        lambda s: before("encoder.trunk.model._orig_mod.", s),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_weights_are_found_under_any_prefix(tmp_path, state, wrap, suffix):
    torch.save(wrap(state), tmp_path / f"w{suffix}")
    loaded = resolve([f"{SMALL}={tmp_path / f'w{suffix}'}"], "images")[0].load().network.state_dict()
    assert loaded.keys() == state.keys() and all(torch.equal(loaded[key], value) for key, value in state.items())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s | before("ema.", other(s)),
        lambda s: s | before("EMA.", other(s)),
        lambda s: {"state_dict": before("model.", s) | before("model.ema.", other(s))},
        lambda s: before("module.encoder_q.", s) | before("module.encoder_k.", other(s)),
    ],
)
@pytest.mark.parametrize("name", ["w.ckpt", "w.pth.tar", "w.PTH", "w.pkl", "weights", "w.safetensors", "lr=0.1/w.pth"])
def test_weights_are_known_by_their_content_and_are_the_networks_own(tmp_path, state, wrap, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    torch.save(wrap(state), tmp_path / name)
    random = torch.get_rng_state()
    loaded = resolve([f"{SMALL}={tmp_path / name}"], "images")[0].load().network.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())
    assert torch.equal(torch.get_rng_state(), random)
    with pytest.raises(ValueError, match="which architecture do the weights in .* belong to"):
        resolve([str(tmp_path / name)], "images")


@pytest.mark.parametrize("length", [0x0280, 0x4B50])  # a file that begins as those of torch.save do
def test_safetensors_are_known_under_any_name(tmp_path, state, length):
    safetensors = pytest.importorskip("safetensors.torch")
    raw = safetensors.save(dict(state))
    size = int.from_bytes(raw[:8], "little")
    length += -(-max(0, size - length) // 65536) * 65536
    padded = length.to_bytes(8, "little") + raw[8 : 8 + size] + b" " * (length - size) + raw[8 + size :]
    (tmp_path / "w.pth").write_bytes(padded)
    loaded = resolve([f"{SMALL}={tmp_path / 'w.pth'}"], "images")[0].load().network.state_dict()
    assert padded[:1] in (b"P", b"\x80") and all(torch.equal(loaded[key], value) for key, value in state.items())


def test_weights_that_may_be_either_of_two_networks_are_refused(tmp_path, state):
    torch.save(before("student.", state) | before("teacher.", other(state)), tmp_path / "w.pth")
    with pytest.raises(
        ValueError, match="w.pth holds 2 such networks, under 'student.' and 'teacher.': save one of them"
    ):
        resolve([f"{SMALL}={tmp_path / 'w.pth'}"], "images")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"hello",
        b"<html>404</html>",
        b"PK\x03\x04",
        b"PK\x05\x06" + bytes(18),
        b"\x89HDF\r\n\x1a\n" + bytes(99),
        b"\x80\x02.",
        b"\x80\x04N.",
        b"\0" * 512,
        b"\xff" * 9 + b"\x7f" + bytes(99),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".bin", ".safetensors"])
def test_files_that_are_no_weights_are_refused_in_a_sentence(tmp_path, content, suffix):
    (tmp_path / f"w{suffix}").write_bytes(content)
    with pytest.raises(
        ValueError, match=f"w{suffix} (is not a state dict|holds a .*, not a state dict).*save network.state_dict"
    ):
        resolve([f"{SMALL}={tmp_path / f'w{suffix}'}"], "images")


def test_foreign_weights_of_the_right_names_are_refused(tmp_path, state):
    key = "classifier.1.weight"
    for value, message in (
        (torch.tensor(1.0), f"of another shape: .*{key}"),
        (state[key].to(torch.int8), f"of whole numbers: {key}"),
        (state[key][:0], f"of another shape: .*{key}"),
        (state[key].to("meta"), f"without values: {key}"),
        (state[key].to_sparse(), f"without values: {key}"),
    ):
        torch.save(state | {key: value}, tmp_path / "w.pth")
        with pytest.raises(ValueError, match=message):
            resolve([f"{SMALL}={tmp_path / 'w.pth'}"], "images")
    with warnings.catch_warnings(action="ignore"):  # it is of yesterday
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "script.pth")
    with pytest.raises(ValueError, match="script.pth is not a state dict"):
        resolve([f"{SMALL}={tmp_path / 'script.pth'}"], "images")


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 99])
def test_a_folder_of_a_text_model_with_foreign_weights_is_answered(tmp_path, content):
    text_model(tmp_path, encoders(pytest.importorskip("transformers"))["gpt2"], pad_token="<pad>")
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(OSError, match="this folder holds no model that transformers can read"):
        resolve([f"it={tmp_path}"], "texts")


def test_a_transform_that_gives_several_sizes_is_answered():
    images = [Image.new("RGB", (8, 8 + i)) for i in range(4)]
    data = [(image, i % 2) for i, image in enumerate(images)]
    pool = {name: (Net(lambda net, h: h), transforms.ToTensor()) for name in "ab"}
    dataset = torch.utils.data.Subset(data, range(4))
    with pytest.raises(
        ValueError,
        match=r"the transform gives images of 4 sizes, such as \(8, 8, 3\) and \(11, 8, 3\); resize and crop",
    ):
        ncrepro.rank(dataset, pool, "logme", n_bootstrap=0, progress=False, cache=False)


def test_names_that_become_one_are_refused(state):
    with pytest.raises(ValueError, match="two models are called '1'"):
        resolve({1: (nn.Flatten(), REDUCED), "1": (nn.Flatten(), REDUCED)}, "images")


# timm's preprocessing -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("size", [(300, 400), (400, 300), (64, 64), (30, 700), (256, 255)])
@pytest.mark.parametrize("percent", [1.0, 0.9])
def test_each_way_of_cropping_is_timms(mode, size, percent):
    timm = pytest.importorskip("timm")
    config = {
        "input_size": (3, 64, 64),
        "crop_mode": mode,
        "crop_pct": percent,
        "interpolation": "bicubic",
        "mean": (0.5, 0.4, 0.3),
        "std": (0.2,) * 3,
    }
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8))
    theirs = timm.data.create_transform(**timm.data.resolve_data_config(pretrained_cfg=config))(image)
    transform = preprocessing.of_timm(config, "it")
    torch.testing.assert_close(
        transform.normalise(torch.tensor(transform(image)).permute(2, 0, 1)[None])[0], theirs, atol=1e-5, rtol=1e-5
    )
    assert transform.augmented(image, np.random.default_rng(0), flip=True).shape == (64, 64, 3)


def test_a_module_of_timm_brings_its_own_preprocessing():
    timm = pytest.importorskip("timm")
    network = timm.create_model("resnet10t")
    network.pretrained_cfg = network.pretrained_cfg | {
        "input_size": (3, 96, 96),
        "crop_mode": "squash",
        "crop_pct": 1.0,
        "mean": (0.1,) * 3,
    }
    candidate = resolve({"it": network}, "images")[0]
    assert candidate.load().transform == preprocessing.Transform(
        96, 96, network.pretrained_cfg["interpolation"], (0.1,) * 3, tuple(network.pretrained_cfg["std"]), "squash"
    )
    assert candidate.caution == ""
    network.pretrained_cfg |= {"input_size": (3, 96, 48)}
    with pytest.raises(ValueError, match="reads 96 x 48 pixels of 3 colours; allowed are squares"):
        resolve({"it": network}, "images")


def test_a_mistyped_tag_of_timm_is_answered_with_the_near_one():
    pytest.importorskip("timm")
    with pytest.raises(
        ValueError, match="unknown weights 'resnet50.a1_in1kk': choose one of .*did you mean 'resnet50.a1_in1k'"
    ):
        resolve(["timm/resnet50.a1_in1kk", "resnet18"], "images")


class Around(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def test_preprocessing_of_timm_is_found_inside_what_was_put_around_it():
    timm = pytest.importorskip("timm")
    network = timm.create_model("resnet10t")
    network.pretrained_cfg = network.pretrained_cfg | {"mean": (0.1,) * 3, "interpolation": "random"}
    own = type("Own", (type(network),), {})
    for wrap in (nn.DataParallel, lambda net: torch.compile(net, backend="eager"), Around):
        candidate = resolve({"it": wrap(network)}, "images")[0]
        transform = candidate.load().transform
        assert transform.mean == (0.1,) * 3 and transform.interpolation == "bilinear"
        assert ("that of timm's network inside was used" in candidate.caution) == (wrap is Around)
    network.__class__ = own
    assert resolve({"it": network}, "images")[0].load().transform.mean == (0.1,) * 3


def test_a_part_of_a_network_that_is_called_transform_is_no_preprocessing():
    network = Net(lambda net, h: h, transform=nn.Linear(2, 2))
    candidate = resolve({"it": network}, "images")[0]
    assert candidate.load().transform == IMAGENET and "ImageNet's was used" in candidate.caution
    network.transform = v2.Compose([v2.Resize(20)])
    assert resolve({"it": network}, "images")[0].load().transform.transform is network.transform


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_network_of_another_precision_is_shown_images_of_it(dtype):
    network = Net(lambda net, h: net.fc(h), fc=nn.Linear(6, 5)).to(dtype).eval()
    x = torch.randint(0, 255, (4, 3, 40, 40), dtype=torch.uint8, generator=torch.manual_seed(0))
    H, probs = ImageModel("it", network, IMAGENET)(x)
    shown = IMAGENET.normalise(x).to(dtype)
    torch.testing.assert_close(H, network.body(shown))
    torch.testing.assert_close(probs, network(shown).float().softmax(1))


def test_a_sentence_says_what_a_network_cannot_take():
    grey = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())
    with pytest.raises(
        ValueError, match=r"it cannot take images of shape \(3, 40, 40\) \(.*channels.*with a transform"
    ):
        seen(grey)


def test_a_file_without_a_head_gives_what_goes_into_it(tmp_path):
    for name, head in (("resnet18", "fc"), ("efficientnet_b0", "classifier"), ("squeezenet1_1", "classifier.1")):
        network = torchvision.models.get_model(name).eval()
        network.set_submodule(head, nn.Identity())
        torch.save(network.state_dict(), tmp_path / "w.pth")
        H, probs, out, shown = seen(resolve([f"{name}={tmp_path / 'w.pth'}"], "images")[0].load().network)
        assert probs is None
        torch.testing.assert_close(H.flatten(1), last_layer.mean_over_positions(out))
        torch.testing.assert_close(out.flatten(1), network(shown).flatten(1))
    with pytest.raises(ValueError, match="does not fit resnet34 .missing: layer1.2"):  # its body is still looked at
        torch.save(pooled_resnet().state_dict(), tmp_path / "w.pth")
        resolve([f"resnet34={tmp_path / 'w.pth'}"], "images")
    images = np.random.default_rng(0).integers(0, 255, (8, 40, 40, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="a has no source classifier, which metric 'leep' needs"):
        models = [f"{name}=resnet18:{tmp_path / 'w.pth'}" for name in ("a", "b")]
        ncrepro.rank(images, models, "leep", labels=[0, 1] * 4, progress=False, cache=False)


def pooled_resnet(*head):
    network = torchvision.models.get_model("resnet18")
    network.fc = nn.Sequential(*head)
    return network.eval()


def test_a_plain_head_is_one_under_another_name_and_a_deeper_one_is_refused(tmp_path):
    network = pooled_resnet(nn.Dropout(), nn.Linear(512, 5))
    torch.save(network.state_dict(), tmp_path / "w.pth")
    H, probs, _, shown = seen(resolve([f"resnet18={tmp_path / 'w.pth'}"], "images")[0].load().network)
    assert H.shape == (4, 512)
    torch.testing.assert_close(probs, network(shown).softmax(1))
    torch.save(pooled_resnet(nn.Linear(512, 9), nn.ReLU(), nn.Linear(9, 5)).state_dict(), tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"missing: fc.bias, fc.weight; unexpected: fc.0.bias.* another network or head"
                       ".*or give the torch.nn.Module itself"):  # fmt: skip
        resolve([f"resnet18={tmp_path / 'w.pth'}"], "images")


def test_a_network_that_timm_published_without_a_head_has_none(tmp_path):
    timm = pytest.importorskip("timm")
    name = "vit_small_patch16_224.dino"
    network = timm.create_model(name).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    loaded = resolve([f"it=timm/{name}:{tmp_path / 'w.pth'}"], "images")[0].load().network
    x = torch.randn(2, 3, 224, 224)
    H, probs, altered = last_layer.split(loaded, x, "it")
    assert probs is None and not altered and torch.equal(H, network(x))
    assert not networks.checkpoint(f"timm/{name}").is_classifier
    with pytest.raises(ValueError, match="does not end in one linear layer"):
        last_layer.find(loaded)


def test_a_distilled_network_is_known_by_its_name(tmp_path):
    timm = pytest.importorskip("timm")
    for name, width in (("deit_tiny_distilled_patch16_224", 192), ("levit_128s", 384)):
        weights = timm.create_model(name, num_classes=7).state_dict()
        torch.save(weights, tmp_path / "w.pth")
        network = resolve([f"it=timm/{name}:{tmp_path / 'w.pth'}"], "images")[0].load().network
        assert (last_layer.width(network), last_layer.n_outputs(network)) == (width, 7)
        with pytest.raises(ValueError, match="ends in 2 layers side by side"):
            last_layer.find(network)


# Texts ----------------------------------------------------------------------------------------------------------------

WORDS = ["<s>", "<pad>", "<unk>"] + [f"w{i}" for i in range(30)]


def text_model(folder, network, **tokens):
    """A transformer in a folder as `save_pretrained` writes it, ready to be asked."""
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", **tokens).save_pretrained(folder)
    network.save_pretrained(folder)
    return resolve([f"it={folder}"], "texts")[0].load()


def texts(*lengths):
    rng = np.random.default_rng(0)
    written = [" ".join(f"w{i}" for i in rng.integers(0, 30, n)) for n in lengths]
    return Texts("t", "train", tuple(written), np.arange(len(lengths)) % 2, ("a", "b"))


def features(model, data, size):
    return extract(model, data, CPU, size).features


def encoders(transformers):
    torch.manual_seed(0)
    size = dict(vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    ends = dict(bos_token_id=0, eos_token_id=0, pad_token_id=1)
    return {
        "gpt2": transformers.GPT2Model(
            transformers.GPT2Config(
                vocab_size=len(WORDS), n_embd=16, n_layer=1, n_head=2, n_positions=64, initializer_range=0.2, **ends
            )
        ),
        "roberta": transformers.RobertaModel(
            transformers.RobertaConfig(**size, max_position_embeddings=66, pad_token_id=1)
        ),
        "opt": transformers.OPTModel(
            transformers.OPTConfig(
                vocab_size=len(WORDS),
                hidden_size=16,
                word_embed_proj_dim=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                ffn_dim=8,
                max_position_embeddings=64,
                **ends,
            )
        ),
        "xlnet": transformers.XLNetModel(
            transformers.XLNetConfig(vocab_size=len(WORDS), d_model=16, n_layer=1, n_head=2, d_inner=32)
        ),
        "fnet": transformers.FNetModel(
            transformers.FNetConfig(
                vocab_size=len(WORDS),
                hidden_size=16,
                num_hidden_layers=1,
                intermediate_size=32,
                max_position_embeddings=64,
                initializer_range=0.2,
            )
        ),
        "funnel": transformers.FunnelModel(
            transformers.FunnelConfig(
                vocab_size=len(WORDS), d_model=16, n_head=2, d_head=8, d_inner=32, block_sizes=[1, 1]
            )
        ),
    }


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", ["gpt2", "roberta", "opt", "xlnet", "fnet", "funnel"])
def test_features_of_a_text_do_not_depend_on_its_batch_and_long_texts_are_cut(tmp_path, name, side):
    network = encoders(pytest.importorskip("transformers"))[name]
    model = text_model(tmp_path, network, pad_token="<pad>", eos_token="<s>", padding_side=side)
    data = texts(3, 30, 8, 20, 900)
    one, five = features(model, data, 1), features(model, data, 5)
    np.testing.assert_allclose(one, five, atol=1e-4)
    assert model.length == (512 if name in ("xlnet", "funnel") else 64) and model.cut == 1
    features(model, texts(3, model.length), 2)
    assert model.cut == 0
    assert model.sees_padding == (name in ("fnet", "funnel"))


def test_an_encoder_that_was_saved_alone_is_read(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.T5Config(vocab_size=len(WORDS), d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    network = transformers.T5EncoderModel(config).eval()
    model = text_model(tmp_path, network, pad_token="<pad>")
    states = network(input_ids=torch.tensor([[4, 5, 6]])).last_hidden_state
    data = Texts("t", "train", ("w1 w2 w3", "w4"), np.arange(2), ("a", "b"))
    np.testing.assert_allclose(features(model, data, 2)[:1], states.mean(1), atol=1e-5)


@pytest.mark.parametrize("fault", ["parallel", "wrapped", "a layer less", "half a file"])
def test_a_folder_whose_weights_are_not_those_of_its_config_is_refused(tmp_path, fault):
    """transformers would draw the missing weights at random, other ones at each call."""
    network = encoders(pytest.importorskip("transformers"))["gpt2"]
    text_model(tmp_path, network, pad_token="<pad>")
    file, arrays = tmp_path / "model.safetensors", network.state_dict()
    if fault == "a layer less":
        network.config.n_layer = 2
        network.config.save_pretrained(tmp_path)
    elif fault == "half a file":
        save_file({key: x for key, x in arrays.items() if "attn" not in key}, file, metadata={"format": "pt"})
    else:
        prefix = {"parallel": "module.", "wrapped": "encoder_model."}[fault]
        save_file({prefix + key: x for key, x in arrays.items()}, file, metadata={"format": "pt"})
    with pytest.raises(
        OSError, match=r"its file of weights lacks \d+ of those that config.json asks for, as .*: it needs"
    ):
        resolve([f"it={tmp_path}"], "texts")


def test_heads_and_poolers_that_no_feature_needs_may_be_there_or_missing(tmp_path):
    transformers = pytest.importorskip("transformers")
    size = dict(vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    config = transformers.BertConfig(**size)
    data = texts(3, 8)
    for kind in (transformers.BertForMaskedLM, transformers.BertForSequenceClassification):
        model = text_model(tmp_path / kind.__name__, network := kind(config).eval(), pad_token="<pad>")
        own = TextModel("own", network.bert, model.tokenizer)
        np.testing.assert_allclose(features(model, data, 2), features(own, data, 2), atol=1e-6)


def test_the_folder_of_a_text_model_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    text_model(tmp_path / "mine", encoders(pytest.importorskip("transformers"))["gpt2"], pad_token="<pad>")
    (found,) = resolve(["it=~/mine"], "texts")
    assert found.spec == resolve([f"it={tmp_path / 'mine'}"], "texts")[0].spec


@pytest.mark.parametrize("name", ["mpt", "ibert"])
def test_texts_are_cut_to_the_positions_of_any_network(tmp_path, name):
    transformers = pytest.importorskip("transformers")
    size = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, pad_token_id=1)
    torch.manual_seed(0)
    if name == "mpt":
        config = transformers.MptConfig(vocab_size=len(WORDS), d_model=16, n_heads=2, n_layers=1, max_seq_len=64)
        network = transformers.MptModel(config)
    else:
        config = transformers.IBertConfig(vocab_size=len(WORDS), max_position_embeddings=66, **size)
        network = transformers.IBertModel(config)
    model = text_model(tmp_path, network, pad_token="<pad>")
    features(model, texts(3, 900), 2)
    assert (model.length, model.cut, model.words) == (64, 1, len(WORDS))


def test_what_a_network_raises_of_a_text_is_a_sentence(tmp_path):
    model = text_model(tmp_path, encoders(pytest.importorskip("transformers"))["funnel"], pad_token="<pad>")
    with pytest.raises(
        ValueError, match="^it cannot take a batch of 2 texts of 1 tokens .*Error: .*: leave texts of such a length out"
    ):
        features(model, texts(9, 1, 1), 3)


def test_padding_that_reaches_a_few_tokens_is_seen_in_a_long_text(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ConvBertConfig(
        vocab_size=len(WORDS), hidden_size=32, embedding_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, initializer_range=0.2,
    )  # fmt: skip
    model = text_model(tmp_path, transformers.ConvBertModel(config), pad_token="<pad>")
    data = texts(200, 3, 5, 8)
    np.testing.assert_allclose(features(model, data, 1), features(model, data, 4), atol=1e-4)
    assert model.sees_padding


def test_features_of_texts_that_are_not_the_same_twice_get_a_caution(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ReformerConfig(
        vocab_size=len(WORDS), hidden_size=16, attention_head_size=8, num_attention_heads=2, feed_forward_size=32,
        attn_layers=["lsh"], axial_pos_embds=False, max_position_embeddings=128, lsh_attn_chunk_length=8, num_buckets=4,
        is_decoder=False, initializer_range=1.0, axial_norm_std=1.0,
    )  # fmt: skip
    pool = {"it": str(tmp_path / "it"), "steady": str(tmp_path / "steady")}
    text_model(pool["it"], transformers.ReformerModel(config), pad_token="<pad>")
    text_model(pool["steady"], encoders(transformers)["gpt2"], pad_token="<pad>")
    data = texts(100, 90, 80, 120)
    table = ncrepro.rank(
        list(data.texts), pool, "logme", labels=[0, 1, 0, 1], n_bootstrap=0, progress=False, cache=False
    ).set_index("model")
    caution = "its features are not the same twice: rank again with cache=False"
    assert table["caution"].str.contains(caution).to_dict() == {"it": True, "steady": False}
    assert table["caution"].str.contains("4 of 4 texts were cut").to_dict() == {"it": False, "steady": True}


def test_cut_texts_get_a_caution_and_texts_without_a_token_are_refused(tmp_path):
    transformers = pytest.importorskip("transformers")
    pool = {f"m{i}": str(tmp_path / f"m{i}") for i in range(2)}
    for folder, name in zip(pool.values(), ("gpt2", "roberta"), strict=True):
        text_model(folder, encoders(transformers)[name], pad_token="<pad>")
    data, options = (
        texts(4, 5, 6, 700),
        {"labels": [0, 1, 0, 1], "metrics": "logme", "n_bootstrap": 0, "progress": False},
    )
    for _ in range(2):  # taken, and found again
        run = ncrepro.rank(list(data.texts), pool, cache=tmp_path / "kept", **options)
        assert all("1 of 4 texts were cut, as it reads 64 tokens at most" in caution for caution in run["caution"])
    model = resolve([f"it={pool['m0']}"], "texts")[0].load()
    model.tokenizer.add_special_tokens({"pad_token": "<pad>"})
    model.tokenizer.backend_tokenizer.normalizer = pytest.importorskip("tokenizers").normalizers.Replace("w1", "")
    with pytest.raises(ValueError, match="it: text 1 holds no token of its vocabulary"):
        features(model, Texts("t", "train", ("w2", "w1"), np.array([0, 1]), ("a", "b")), 2)


def test_a_token_without_an_embedding_may_pad_but_not_be_read(tmp_path):
    network = encoders(pytest.importorskip("transformers"))["gpt2"]
    model, data = text_model(tmp_path / "one", network, pad_token="[PAD]"), texts(3, 30, 8)
    expected = features(text_model(tmp_path / "other", network, pad_token="<pad>"), data, 3)
    np.testing.assert_array_equal(features(model, data, 3), expected)
    model.tokenizer.add_tokens(["w30"])
    with pytest.raises(
        ValueError, match="it: its tokenizer gives text 2 token 34, but the network has embeddings of 33"
    ):
        features(model, Texts("t", "train", ("w1", "w2", "w1 w30"), np.array([0, 1, 0]), ("a", "b")), 2)


def test_a_network_that_does_not_read_texts_alone_is_answered():
    transformers = pytest.importorskip("transformers")
    size = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    seen = size | dict(image_size=32, patch_size=16)
    vit = transformers.ViTModel(transformers.ViTConfig(**seen))
    clip = transformers.CLIPModel(transformers.CLIPConfig(text_config=size | {"vocab_size": 33}, vision_config=seen))
    for network in (vit, clip):
        with pytest.raises(ValueError, match=f"it is a {type(network).__name__}, which does not read texts alone"):
            TextModel("it", network, None)


def test_a_tokenizer_without_a_token_to_pad_with_is_answered(tmp_path):
    transformers, tokenizers = pytest.importorskip("transformers"), pytest.importorskip("tokenizers")
    bare = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}))
    )
    with pytest.raises(ValueError, match="it: its tokenizer has no token to pad with"):
        TextModel("it", encoders(transformers)["gpt2"], bare)


# Scores that are no numbers -------------------------------------------------------------------------------------------


@pytest.fixture
def pool():
    rng, y = np.random.default_rng(0), np.arange(60) % 3
    return {f"m{i}": rng.normal(size=(60, 4)) + i * y[:, None] for i in range(3)}, y


def test_a_score_that_is_no_number_is_refused_and_not_averaged_away(pool, monkeypatch):
    whole = metrics.transrate
    for value in (math.nan, math.inf):
        monkeypatch.setattr(
            metrics,
            "transrate",
            lambda samples, _, v=value: v if samples.features[0, 0] == pool[0]["m1"][0, 0] else whole(samples, None),
        )
        with pytest.raises(ValueError, match=f"transrate of m1 is {value}: .*leave out the metric or the model"):
            ncrepro.rank(pool[0], labels=pool[1], metrics=["transrate", "logme"], n_bootstrap=0, progress=False)


def test_a_model_that_cannot_be_scored_is_named(pool):
    features, y = pool
    spoilt = features | {"m1": np.where(np.arange(4) == 2, np.nan, features["m1"])}
    with pytest.raises(ValueError, match="^m1: features contain nan"):
        ncrepro.rank(spoilt, labels=y, metrics="logme", n_bootstrap=0, progress=False)


def test_a_resample_that_is_no_number_takes_one_interval_only(pool, monkeypatch):
    whole, calls = metrics.logme, []
    monkeypatch.setattr(
        metrics, "logme", lambda samples, _: calls.append(0) or (math.nan if len(calls) == 3 else whole(samples, None))
    )
    table = ncrepro.rank(pool[0], labels=pool[1], metrics="logme", n_bootstrap=4, progress=False)
    assert table.set_index("model")["low"].isna().to_dict() == {"m0": True, "m1": False, "m2": False}
    assert "there is no interval for m0: some of its resamples cannot be scored" in table.attrs["cautions"]
    assert not any("there are no intervals" in caution for caution in table.attrs["cautions"])


def test_terms_that_cancel_out_are_not_called_the_same(pool, monkeypatch):
    terms = {"m0": (1.0, 5.0), "m1": (3.0, 2.0)}
    monkeypatch.setattr(
        metrics, "face", lambda samples, _: terms["m0" if samples.features[0, 0] == pool[0]["m0"][0, 0] else "m1"]
    )
    two = {name: pool[0][name] for name in terms}
    table = ncrepro.rank(two, labels=pool[1], metrics=["face", "logme"], n_bootstrap=0, progress=False)
    cautions = "\n".join(table.attrs["cautions"])
    assert (
        "the terms of face cancel out: its total is the same for all models" in cautions
        and "the same for all models, and so left out of the totals" not in cautions
    )
    with pytest.raises(ValueError, match="no order: the terms of face cancel out; take more metrics or models"):
        ncrepro.rank(two, labels=pool[1], metrics="face", n_bootstrap=0, progress=False)


# Where things are kept ------------------------------------------------------------------------------------------------


def test_a_cache_that_cannot_be_written_is_answered_before_the_work_and_can_be_placed(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 255, (6, 40, 40, 3), dtype=np.uint8)
    models = {f"m{i}": (torchvision.models.squeezenet1_1(num_classes=4 + i), REDUCED) for i in range(2)}

    def go(cache):
        return ncrepro.rank(images, models, "logme", labels=[0, 1] * 3, n_bootstrap=0, progress=False, cache=cache)

    (tmp_path / "file").write_text("")
    with monkeypatch.context() as patch:
        patch.setattr("ncrepro.rank_your_own.rank.extract", lambda *_: pytest.fail("features were taken"))
        patch.setenv("NCREPRO_CACHE", str(tmp_path / "file"))
        with pytest.raises(
            OSError, match="features cannot be kept in .*file.rank .*cache=FOLDER, or with NCREPRO_CACHE"
        ):
            go(True)
    monkeypatch.setenv("NCREPRO_CACHE", str(tmp_path / "elsewhere"))
    assert len(go(True)) == 2 and len(list((tmp_path / "elsewhere" / "rank" / "features").iterdir())) == 2
