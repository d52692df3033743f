"""Published networks: names, widths, preprocessing, and weights that are what they say."""

import hashlib
import json
import pickle
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from ncrepro.extraction import last_layer, networks
from ncrepro.extraction.preprocessing import Transform
from ncrepro.lab import published
from ncrepro.lab.models import FACE_POOL, NCTI_POOL

WIDTHS = {
    "resnet34": 512,
    "resnet50": 2048,
    "resnet101": 2048,
    "resnet152": 2048,
    "densenet121": 1024,
    "densenet169": 1664,
    "densenet201": 1920,
    "mnasnet1_0": 1280,
    "mobilenet_v1": 1024,
    "mobilenet_v2": 1280,
    "mobilenet_v3": 1280,
    "googlenet": 1024,
    "inception_v3": 2048,
    "efficientnet_b0": 1280,
    "efficientnet_b1": 1280,
    "efficientnet_b2": 1408,
    "efficientnet_b3": 1536,
    "vgg16": 4096,
    "vgg19": 4096,
}
OTHERS = {
    "squeezenet1_1": 512,
    "shufflenet_v2_x1_0": 1024,
    "convnext_tiny": 768,
    "vit_b_16": 768,
    "swin_t": 768,
    "alexnet": 4096,
    "timm/resnet18.a1_in1k": 512,
    "timm/vit_tiny_patch16_224": 192,
}
SMALL = "mobilenet_v3_small"


def seen_by_the_head(network, images):
    """What the last layer of ``network`` gets, (n, d), and its logits."""
    seen = []
    hook = last_layer.find(network).register_forward_pre_hook(
        lambda _, inputs: seen.append(last_layer.mean_over_positions(inputs[0]))
    )
    logits = network.eval()(images)
    hook.remove()
    return seen[0], logits


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """The folder that weights lie in."""
    monkeypatch.setenv("NCREPRO_DATA", str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


# Names and widths -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "width"), (WIDTHS | OTHERS).items())
def test_a_network_built_by_name_gives_features_of_its_own_width(name, width, monkeypatch):
    for initialise in (
        "normal_",
        "uniform_",
        "trunc_normal_",
        "kaiming_normal_",
        "kaiming_uniform_",
        "xavier_uniform_",
    ):
        monkeypatch.setattr(nn.init, initialise, lambda tensor, *args, **kwargs: tensor)
    with torch.device("meta"):  # sizes without numbers
        side = networks.checkpoint(name).transform.crop
        network = networks.build(name, 7)
        features, logits = seen_by_the_head(network, torch.empty(2, 3, side, side))
    assert last_layer.width(network) == width
    assert features.shape == (2, width) and logits.shape == (2, 7)


def test_the_papers_pools_are_all_there():
    assert set(NCTI_POOL) | set(FACE_POOL) == set(WIDTHS)
    listed = published.load("listed")
    face = set(listed[listed["list"] == "face_single_source_models"]["name"])
    assert face == set(FACE_POOL)
    assert set(published.load("supervised_finetuned_accuracy").index) == set(NCTI_POOL)


def test_every_classifier_of_torchvision_has_published_weights_with_a_hash():
    for name in torchvision.models.list_models(module=torchvision.models):
        weights = torchvision.models.get_model_weights(name)
        found = networks.checkpoint(name, next(iter(weights)).name)
        assert re.fullmatch("[0-9a-f]{8,}", found.sha256) and found.sha256 in found.url
        assert found.gigaflops > 0 and found.megabytes > 0


def test_weights_are_pinned_to_those_of_the_papers_time():
    assert networks.checkpoint("resnet50").weights == "IMAGENET1K_V1"
    assert networks.checkpoint("resnet50").accuracy == 76.13
    assert networks.checkpoint("resnet50").file.name == "resnet50-0676ba61.pth"


def test_mobilenet_v1_is_that_of_timm():
    found = networks.checkpoint("mobilenet_v1")
    assert found.url == "https://huggingface.co/timm/mobilenetv1_100.ra4_e3600_r224_in1k"
    assert (found.weights, found.accuracy, found.transform.crop) == ("ra4_e3600_r224_in1k", 75.4, 224)


def test_random_weights_give_finite_features_that_depend_on_the_image():
    network = networks.build(SMALL)
    features, logits = seen_by_the_head(network, torch.randn(2, 3, 64, 64, generator=torch.manual_seed(0)))
    assert features.isfinite().all() and not torch.equal(*features)
    assert torch.allclose(last_layer.find(network)(features), logits)


def test_a_new_head_has_the_requested_number_of_outputs_and_the_same_weights_for_a_seed():
    for name in (SMALL, "squeezenet1_1"):
        made = []
        for seed in (0, 0, 1):
            network = networks.build(name)
            last_layer.replace(network, 3, seed)
            assert seen_by_the_head(network, torch.randn(1, 3, 64, 64))[1].shape == (1, 3)
            made.append(last_layer.find(network).weight)
        assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet5", r"unknown model 'resnet5'.*did you mean 'resnet\d+'\?; for a model of timm write timm/resnet5"),
        ("timm/resnet5", r"timm has no model 'resnet5'; near it: .*resnet50"),
    ],
)
def test_a_mistyped_name_is_answered_with_near_ones(name, message):
    for function in (networks.build, networks.checkpoint):
        with pytest.raises(ValueError, match=message):
            function(name)


def test_weights_that_do_not_exist_are_answered_with_those_that_do():
    with pytest.raises(
        ValueError, match="resnet50: unknown weights 'IMAGENET1K_V3': choose one of IMAGENET1K_V1, IMAGENET1K_V2, local"
    ):
        networks.checkpoint("resnet50", "IMAGENET1K_V3")
    with pytest.raises(
        ValueError, match="unknown transform 'release': choose one of own, released; did you mean 'released'"
    ):
        networks.checkpoint("resnet50", transform="release")


def test_without_timm_its_models_say_what_to_install_and_others_work(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ValueError, match="mobilenetv1_100.* needs timm, which is not installed: pip install timm"):
        networks.checkpoint("mobilenet_v1")
    assert networks.checkpoint("mobilenet_v2").transform.crop == 224


def test_a_network_without_a_last_layer_is_refused():
    with pytest.raises(ValueError, match="Sequential does not end in one linear layer or convolution"):
        last_layer.path(nn.Sequential(nn.ReLU()))


# Preprocessing --------------------------------------------------------------------------------------------------------


@pytest.fixture
def photo():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (333, 471, 3), dtype=np.uint8))


@pytest.mark.parametrize("name", ["resnet50", "inception_v3", "efficientnet_b1", "vgg16"])
def test_each_network_sees_what_torchvision_shows_it(name, photo):
    transform = networks.checkpoint(name).transform
    ours = transform.normalise(torch.tensor(transform(photo)).permute(2, 0, 1)[None])[0]
    theirs = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"].transforms()(photo)
    assert ours.shape == theirs.shape
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_network_of_timm_sees_what_timm_shows_it(photo):
    import timm

    network = timm.create_model("mobilenetv1_100")
    theirs = timm.data.create_transform(**timm.data.resolve_model_data_config(network))(photo)
    transform = networks.checkpoint("mobilenet_v1").transform
    ours = transform.normalise(torch.tensor(transform(photo)).permute(2, 0, 1)[None])[0]
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_inception_sees_299_pixels_and_224_as_released():
    assert networks.checkpoint("inception_v3").transform.crop == 299
    for name in ("inception_v3", "resnet50", "efficientnet_b3"):
        own, released = (networks.checkpoint(name, transform=which).transform for which in ("own", "released"))
        assert (released.resize, released.crop, released.interpolation) == (224, 224, "bicubic")
        assert (released.mean, released.std) == (own.mean, own.std)


def test_training_crops_lie_inside_the_image_and_half_are_mirrored():
    ramp = Image.fromarray(np.tile(np.arange(100, dtype=np.uint8), (50, 1))).convert("RGB")  # brighter to the right
    transform = Transform(50, 50, "bilinear", (0.5,) * 3, (0.5,) * 3)
    crops = [transform.augmented(ramp, np.random.default_rng(i), flip=True)[0, :, 0].astype(int) for i in range(200)]
    mirrored = [crop[0] > crop[-1] for crop in crops]
    assert 70 < sum(mirrored) < 130
    assert {abs(crop[-1] - crop[0]) for crop in crops} == {49} and min(c.min() for c in crops) <= 2
    assert not any(
        crop[0] > crop[-1]
        for crop in (
            transform.augmented(ramp, np.random.default_rng(i), flip=False)[0, :, 0].astype(int) for i in range(50)
        )
    )


# Weights --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def published_small(checkpoints, tmp_path, monkeypatch):
    """A small network's weights as torchvision would publish them: at an address, with their hash in the name."""
    network = networks.build(SMALL)
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    digest = hashlib.sha256((tmp_path / "weights.pth").read_bytes()).hexdigest()
    found = replace(networks.checkpoint(SMALL), url=(tmp_path / "weights.pth").as_uri(), sha256=digest[:8],
                    file=checkpoints / f"small-{digest[:8]}.pth")  # fmt: skip
    monkeypatch.setattr(networks, "checkpoint", lambda *arguments: found)
    return network, found


def test_weights_are_downloaded_once_checked_and_recorded(published_small):
    network, found = published_small
    loaded, transform, record = networks.load(SMALL)
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(loaded(images), network.eval()(images)) and not loaded.training
    assert record["sha256"].startswith(found.sha256) and record["n_features"] == 1024 and record["n_classes"] == 1000
    assert record["n_parameters"] == torchvision.models.get_model_weights(SMALL)["IMAGENET1K_V1"].meta["num_params"]
    Path(found.url.removeprefix("file://")).unlink()
    assert networks.load(SMALL)[2] == record  # from the file


def test_weights_with_another_hash_are_refused(published_small):
    _, found = published_small
    found.file.write_bytes(b"half of it")
    with pytest.raises(
        ValueError, match=rf"{found.file} is damaged or only half there: its SHA-256 begins with .{{8}}, published is"
    ):
        networks.load(SMALL)


def test_a_download_that_fails_says_where_to_put_the_file(published_small):
    _, found = published_small
    Path(found.url.removeprefix("file://")).unlink()
    with pytest.raises(OSError, match=rf"could not download file://.*: put it at {found.file} by hand"):
        networks.load(SMALL)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_your_own_is_loaded_with_as_many_classes_as_it_has(checkpoints, suffix):
    network = networks.build(SMALL, 5).eval()
    file = checkpoints / f"{SMALL}{suffix}"
    torch.save(network.state_dict(), file) if suffix == ".pth" else save_file(network.state_dict(), file)
    loaded, _, record = networks.load(SMALL, "local")
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(loaded(images), network(images))
    assert record["n_classes"] == 5 and np.isnan(record["accuracy"])
    file.with_suffix(".json").write_text(json.dumps({"accuracy": 61.5}))
    assert networks.load(SMALL, "local")[2]["accuracy"] == 61.5
    file.with_suffix(".json").write_text(json.dumps({"accuracy": 61.5, "resize": 36, "crop": 32}))
    own = networks.checkpoint(SMALL, "local").transform
    assert (own.resize, own.crop, own.interpolation) == (36, 32, "bilinear")
    file.with_suffix(".json").write_text(json.dumps({"crp": 32}))
    with pytest.raises(ValueError, match=rf"{SMALL}.json: unknown key 'crp'.*did you mean 'crop'"):
        networks.checkpoint(SMALL, "local")


def test_a_file_of_your_own_that_is_not_there_says_where_it_should_be(checkpoints):
    with pytest.raises(FileNotFoundError, match=rf"there is no {checkpoints}/{SMALL}.safetensors nor .pth"):
        networks.load(SMALL, "local")


@pytest.mark.parametrize("name", ["mnasnet1_0", "googlenet", "densenet121"])
def test_old_files_fit_todays_networks(checkpoints, name):
    network = networks.build(name, 5).eval()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", key): value
        for key, value in network.state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    if name == "googlenet":
        old["aux1.fc1.weight"] = torch.zeros(3)
    save_file(old, checkpoints / f"{name}.safetensors")
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(networks.load(name, "local")[0](images), network(images))


def test_weights_that_do_not_fit_are_refused_with_their_names(checkpoints):
    state = networks.build(SMALL).state_dict()
    state["classifier.9.weight"] = state.pop("classifier.3.bias")
    state["classifier.0.bias"] = torch.zeros(7)
    torch.save(state, checkpoints / f"{SMALL}.pth")
    message = (rf"{SMALL}.pth does not fit {SMALL} \(missing: classifier.3.bias; unexpected: classifier.9.weight; "
            r"of another shape: classifier.0.bias\): it holds another network")  # fmt: skip
    with pytest.raises(ValueError, match=message):
        networks.load(SMALL, "local")
    torch.save(networks.build("squeezenet1_1").state_dict(), checkpoints / f"{SMALL}.pth")
    with pytest.raises(ValueError, match=r"missing: .* and \d+ more; unexpected: .* and \d+ more"):
        networks.load(SMALL, "local")


class Trap:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("the file was unpickled",))


@pytest.mark.parametrize(
    "content",
    [pickle.dumps({"a": Trap()}, 2), pickle.dumps([1, 2], 2), b"PK\x03\x04 torn", b"", b"<html>404</html>"],
    ids=["code", "list", "torn", "empty", "page"],
)
def test_a_file_that_holds_anything_but_weights_is_refused_and_never_run(checkpoints, content):
    (checkpoints / f"{SMALL}.pth").write_bytes(content)
    with pytest.raises(ValueError, match=rf"{SMALL}.pth (is not a state dict|holds a list, not a state dict)"):
        networks.load(SMALL, "local")
    (checkpoints / f"{SMALL}.pth").rename(checkpoints / f"{SMALL}.safetensors")
    with pytest.raises(ValueError, match="is not a state dict"):
        networks.load(SMALL, "local")


def test_a_file_of_timm_is_found_in_its_cache_and_checked_by_its_name_there(checkpoints):
    network = networks.build("mobilenet_v1").eval()
    save_file(network.state_dict(), checkpoints / "weights")
    digest = hashlib.sha256((checkpoints / "weights").read_bytes()).hexdigest()
    place = checkpoints / "hub" / "models--timm--mobilenetv1_100.ra4_e3600_r224_in1k"
    for folder in ("blobs", "refs", "snapshots/0123"):
        (place / folder).mkdir(parents=True)
    (checkpoints / "weights").rename(place / "blobs" / digest)
    (place / "refs" / "main").write_text("0123")
    (place / "snapshots/0123/model.safetensors").symlink_to(place / "blobs" / digest)
    loaded, transform, record = networks.load("mobilenet_v1")
    images = torch.randn(1, 3, 64, 64)
    assert torch.equal(loaded(images), network(images))
    assert record["sha256"] == digest and record["accuracy"] == 75.4 and transform.resize == 256
    with open(place / "blobs" / digest, "ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=f"published is {digest}"):
        networks.load("mobilenet_v1")
