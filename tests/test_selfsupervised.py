import dataclasses
import hashlib
import math
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.models import resnet50

from ncrepro.extraction import last_layer, networks
from ncrepro.lab import datasets, models, objectives, published
from ncrepro.lab.models import selfsupervised as releases
from ncrepro.lab.tasks import classification, selfsupervised

NAMES = sorted(releases.RELEASES)


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# Published checkpoints ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original():
    """Stands for a trained network: random weights, and running statistics that are not those of the start."""
    torch.manual_seed(3)
    network = resnet50()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def backbone(network):
    return {key: value for key, value in network.state_dict().items() if not key.startswith("fc.")}


def junk(*keys):
    return {key: torch.zeros(2, 2) for key in keys}


def moco_layout(weights):
    """MoCo and PCL: the query network of a DistributedDataParallel model, its momentum copy, and a queue."""
    query = {f"module.encoder_q.{key}": value for key, value in weights.items()}
    copy = {f"module.encoder_k.{key}": torch.zeros_like(value) for key, value in weights.items()}
    heads = junk("module.encoder_q.fc.0.weight", "module.encoder_q.fc.0.bias", "module.encoder_k.fc.weight")
    return {
        "epoch": 200,
        "arch": "resnet50",
        "state_dict": query | copy | heads | junk("module.queue", "module.queue_ptr"),
    }


def pycontrast_layout(weights):
    """InsDis and InfoMin: PyContrast's network with a head, and for some a jigsaw head; the momentum copy lies
    apart.
    """
    model = {f"module.encoder.{key}": value for key, value in weights.items()}
    heads = junk("module.head.0.weight", "module.head.2.bias", "module.head_jig.fc1.0.weight")
    return {
        "model": model | heads,
        "model_ema": {f"encoder.{key}": torch.zeros_like(v) for key, v in weights.items()},
        "epoch": 800,
    }


def swav_layout(weights):
    """SwAV, DeepCluster-v2 and SeLa-v2: a bare state dict with a projection head and one or several sets of
    prototypes.
    """
    heads = junk("module.projection_head.0.weight", "module.projection_head.1.running_mean", "module.prototypes.weight")
    return (
        {f"module.{key}": value for key, value in weights.items()}
        | heads
        | junk("module.prototypes.prototypes0.weight")
    )


def byol_layout(weights):
    """BYOL by byol-convert: torchvision's names, no batch counters, the classifier of its own evaluation."""
    return {key: value for key, value in weights.items() if "num_batches_tracked" not in key} | junk(
        "fc.weight", "fc.bias"
    )


def simclr_v1_layout(weights):
    """SimCLR by simclr-converter: torchvision's names below one key, with a classifier."""
    return {"state_dict": weights | junk("fc.weight", "fc.bias")}


def simclr_v2_layout(weights):
    """SimCLR v2 by SimCLRv2-Pytorch: layers numbered in the order of their use."""
    in_block = {
        "conv1": "net.0",
        "bn1": "net.1.0",
        "conv2": "net.2",
        "bn2": "net.3.0",
        "conv3": "net.4",
        "bn3": "net.5.0",
        "downsample.0": "projection.shortcut",
        "downsample.1": "projection.bn.0",
    }
    state = {}
    for key, value in weights.items():
        if found := re.fullmatch(r"layer(\d)\.(\d+)\.(conv\d|bn\d|downsample\.\d)\.(\w+)", key):
            stage, block, layer, what = found.groups()
            state[f"net.{stage}.blocks.{block}.{in_block[layer]}.{what}"] = value
        else:
            layer, what = key.split(".")
            state[f"{ {'conv1': 'net.0.0', 'bn1': 'net.0.1.0'}[layer] }.{what}"] = value
    return {"resnet": state | junk("fc.weight", "fc.bias"), "head": junk("layers.0.weight")}


LAYOUTS = {
    "byol": byol_layout,
    "deepcluster-v2": swav_layout,
    "infomin": pycontrast_layout,
    "insdis": pycontrast_layout,
    "moco-v1": moco_layout,
    "moco-v2": moco_layout,
    "pcl-v1": moco_layout,
    "pcl-v2": moco_layout,
    "sela-v2": swav_layout,
    "simclr-v1": simclr_v1_layout,
    "simclr-v2": simclr_v2_layout,
    "swav": swav_layout,
}


def test_every_model_of_the_published_table_has_a_release_and_a_layout_here():
    in_table = sorted(published.load("selfsupervised_finetuned_accuracy").index)
    assert in_table == NAMES == sorted(LAYOUTS)


@pytest.mark.parametrize("name", NAMES)
def test_the_backbone_comes_out_of_each_release_unchanged(name, original):
    found = releases.translate(name, LAYOUTS[name](backbone(original)))
    assert found.keys() == backbone(original).keys()
    assert all(torch.equal(found[key], value) for key, value in backbone(original).items())


@pytest.mark.parametrize("name", ["moco-v2", "simclr-v2"])
def test_a_loaded_network_computes_what_the_original_did(name, original, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pth"
    torch.save(LAYOUTS[name](backbone(original)), path)
    unsigned = dataclasses.replace(releases.RELEASES[name], md5="")
    monkeypatch.setitem(releases.RELEASES, name, unsigned)
    network, _, record = releases.load(name, path=path)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        network.fc = original.fc
        assert torch.equal(network(x), original(x))
    assert network.name == name and not network.training
    assert record["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() and record["n_features"] == 2048
    assert math.isnan(record["accuracy"])  # of a probe that would need ImageNet


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_weight_is_named(name, original):
    weights = backbone(original)
    del weights["layer3.4.conv2.weight"]
    with pytest.raises(
        ValueError, match=rf"not the ResNet-50 of {name}: 1 keys missing, the first is 'layer3.4.conv2.weight'"
    ):
        releases.translate(name, LAYOUTS[name](weights))


@pytest.mark.parametrize("name", NAMES)
def test_a_key_that_nothing_is_known_of_is_refused_by_name(name, original):
    weights = backbone(original) | junk("layer5.0.conv1.weight")
    checkpoint = (
        LAYOUTS[name](weights)
        if name != "simclr-v2"
        else {"resnet": LAYOUTS[name](backbone(original))["resnet"] | junk("net.5.x")}
    )
    with pytest.raises(ValueError, match=r"1 keys unknown, the first is '.*(layer5\.0\.conv1\.weight|net\.5\.x)'"):
        releases.translate(name, checkpoint)


def test_the_file_of_another_release_is_refused(original):
    with pytest.raises(
        ValueError, match="not the ResNet-50 of moco-v2: .* keys unknown, the first is 'module.bn1.bias'"
    ):
        releases.translate("moco-v2", LAYOUTS["swav"](backbone(original)))


def test_a_wider_network_is_refused(original):
    weights = backbone(original) | {"conv1.weight": torch.zeros(128, 3, 7, 7)}
    with pytest.raises(ValueError, match="1 keys of another shape, the first is 'conv1.weight'"):
        releases.translate("swav", LAYOUTS["swav"](weights))


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_says_what_to_put_where(name, tmp_path, monkeypatch):
    def unplugged(*_):
        raise OSError("no network")

    monkeypatch.setenv("NCREPRO_DATA", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unplugged)
    release = releases.RELEASES[name]
    with pytest.raises(OSError) as error:
        releases.load(name)
    message = str(error.value)
    assert all(
        part in message for part in (release.file, release.url, release.converter, release.licence, "checkpoints")
    )
    assert ("no network" in message) != bool(release.converter)  # what has to be converted is not downloaded


def test_a_release_is_downloaded_once_to_where_all_checkpoints_lie(original, tmp_path, monkeypatch):
    urls = []

    def download(url, path):
        urls.append(url)
        torch.save(swav_layout(backbone(original)), path)

    monkeypatch.setenv("NCREPRO_DATA", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    for _ in range(2):
        releases.load("swav")
    assert urls == [releases.RELEASES["swav"].url]
    assert (tmp_path / "checkpoints" / "swav_800ep_pretrain.pth.tar").exists()


def test_a_file_with_another_digest_than_the_authors_publish_is_refused(tmp_path):
    path = tmp_path / "moco.pth"
    torch.save({}, path)
    with pytest.raises(ValueError, match="that of moco-v2 begins with a04e12f8: download it again"):
        releases.load("moco-v2", path=path)


def test_the_first_load_records_the_digest_and_later_ones_refuse_another_content(original, tmp_path):
    path = tmp_path / "swav.pth.tar"
    torch.save(swav_layout(backbone(original)), path)
    releases.load("swav", path=path)
    recorded = (tmp_path / "swav.pth.tar.sha256").read_text().strip()
    assert recorded == hashlib.sha256(path.read_bytes()).hexdigest()
    torch.save(swav_layout(backbone(original) | {"bn1.bias": torch.ones(64)}), path)
    with pytest.raises(ValueError, match="another than swav.pth.tar.sha256 recorded when it was first loaded"):
        releases.load("swav", path=path)


def test_a_file_that_is_refused_leaves_no_record(tmp_path):
    path = tmp_path / "swav.pth.tar"
    torch.save({}, path)
    with pytest.raises(ValueError, match="keys missing"):
        releases.load("swav", path=path)
    assert not (tmp_path / "swav.pth.tar.sha256").exists()


class Code:
    """What would run if a file were unpickled without restraint."""

    def __reduce__(self):
        return (pytest.fail, ("code from the file was run",))


def test_a_file_that_would_run_code_is_refused_without_running_it(tmp_path):
    path = tmp_path / "swav.pth.tar"
    torch.save({"state_dict": Code()}, path)
    with pytest.raises(ValueError, match="swav.pth.tar holds more than tensors"):
        releases.load("swav", path=path)


def test_an_unknown_release_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="did you mean 'moco-v2'"):
        releases.load("moco_v2")


def test_images_are_scaled_as_each_network_was_trained(original, tmp_path):
    white, seen = Image.new("RGB", (400, 300), "white"), {}
    for name in ("simclr-v1", "swav"):
        torch.save(LAYOUTS[name](backbone(original)), tmp_path / name)
        _, transform, _ = releases.load(name, path=tmp_path / name)
        seen[name] = transform.normalise(torch.from_numpy(transform(white).copy()).permute(2, 0, 1)[None])[0]
    assert seen["simclr-v1"].shape == seen["swav"].shape == (3, 224, 224)
    assert float(seen["simclr-v1"].min()) == float(seen["simclr-v1"].max()) == 1
    assert seen["swav"][:, 0, 0].numpy() == pytest.approx(
        [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225], rel=1e-5
    )


def test_the_released_transform_is_that_of_all_other_networks(original, tmp_path):
    torch.save(swav_layout(backbone(original)), tmp_path / "swav")
    _, transform, record = releases.load("swav", "released", tmp_path / "swav")
    assert transform == networks.checkpoint("resnet50", transform="released").transform
    assert record["transform"] == "shorter side to 224 px, bicubic, centre 224 px"


# The task -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    spec = {"architecture": "resnet34", "source": "source_signs", "loss": "simclr_v1", "max_per_class": 4, "seed": 0,
            "recipe": {"epochs": 1, "batch_size": 16, "learning_rate": 0.002}}  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NCREPRO_ROOT", str(tmp_path_factory.mktemp("root")))
        datasets.load.cache_clear()
        return spec, selfsupervised.pretrain(spec)


def test_pretraining_reports_the_probe_the_random_network_and_how_much_of_the_space_is_used(pretrained):
    _, arrays = pretrained
    assert {key for key, value in arrays.items() if value.ndim == 0 and not key.startswith("weights.")} == {
        "accuracy", "standard_error", "random_accuracy", "feature_std", "effective_rank", "live_features", "collapsed",
        "n_parameters", "n_features", "n_classes",
    }  # fmt: skip
    assert 0 <= arrays["accuracy"] <= 100
    assert arrays["collapsed"] == 0
    assert arrays["n_features"] == last_layer.find(models.build("resnet34", 2, 0)).in_features


def test_a_pretrained_network_comes_back_with_the_weights_that_it_had(pretrained):
    spec, arrays = pretrained
    network = classification.restore(spec, arrays)
    assert all(np.array_equal(value.numpy(), arrays[f"weights.{key}"]) for key, value in network.state_dict().items())
    fresh = models.build("resnet34", 2, 0)
    assert not torch.equal(network.conv1.weight, fresh.conv1.weight)


def test_there_are_no_source_probabilities_so_leep_and_nce_do_not_exist(pretrained, tmp_path, monkeypatch):
    monkeypatch.setenv("NCREPRO_ROOT", str(tmp_path))
    target = {"target": "signs", "split": "train", "max_per_class": 2, "seed": 0}
    arrays = selfsupervised.extract(target, *pretrained)
    assert arrays.keys() == {"features", "labels"}
    assert arrays["features"].shape == (len(arrays["labels"]), int(pretrained[1]["n_features"]))


def test_a_network_that_sees_nothing_is_reported_as_collapsed(tmp_path, monkeypatch):
    monkeypatch.setenv("NCREPRO_ROOT", str(tmp_path))
    data = datasets.load("source_signs", "train", 2)
    network = models.build("resnet34", 2, 0)
    with torch.no_grad():
        for block in network.layer4:
            block.bn2.weight.zero_()
            block.downsample[1].weight.zero_()
            block.bn2.bias.fill_(1.0)
    _, use = selfsupervised.probe(network, data, data)
    assert use.feature_std == pytest.approx(0, abs=1e-6) and use.collapsed


def test_a_profile_can_name_every_objective():
    assert selfsupervised.LOSSES == tuple(objectives.OBJECTIVES)
