"""The twelve self-supervised ResNet-50 checkpoints of NCTI's second pool, from the files their authors publish.

Every release names the same network in its own way. `translate` turns each into torchvision's ``resnet50``, drops what
is not the backbone (projection heads, prototypes, queues, momentum copies), and refuses whatever it does not know.
"""

import math
import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import resnet50

from ...extraction import networks
from ...extraction.preprocessing import Transform, describe
from ...store import artifacts, file_digests, paths
from ...store.schema import refuse_unknown


@dataclass(frozen=True)
class Release:
    """One published checkpoint: where it comes from, and how its file is laid out."""

    paper: str
    url: str  # the authors' own place for it
    licence: str  # of the repository that publishes it; none of them states one for the weights alone
    prefix: str = ""  # what the backbone's keys begin with
    dropped: tuple[str, ...] = ()  # beginnings of the keys that are not the backbone's
    converter: str = ""  # what makes ``converted`` from the published file, where that is no PyTorch file
    converted: str = ""
    md5: str = ""  # its first digits, where the authors publish them
    imagenet_scaled: bool = True  # trained on images less ImageNet's mean, divided by its deviation; else on 0 to 1

    @property
    def file(self) -> str:
        """What the loader looks for: the converted file, or the published one."""
        return self.converted or self.url.rpartition("/")[2].removesuffix("?dl=1")


_MOCO = {"prefix": "module.encoder_q.", "dropped": ("module.encoder_q.fc.", "module.encoder_k.", "module.queue")}
_PYCONTRAST = {"prefix": "module.encoder.", "dropped": ("module.head.", "module.head_jig."), "licence": "BSD-2-Clause"}
_SWAV = {"prefix": "module.", "dropped": ("module.projection_head.", "module.prototypes."), "licence": "CC BY-NC 4.0"}
_MOCO_URL = "https://dl.fbaipublicfiles.com/moco/moco_checkpoints"
_PCL_URL = "https://storage.googleapis.com/sfr-pcl-data-research/PCL_checkpoint"
_SWAV_URL = "https://dl.fbaipublicfiles.com/deepcluster"
_PYCONTRAST_URL = "https://www.dropbox.com/sh/87d24jqsl6ra7t2"

RELEASES: dict[str, Release] = {  # named as in data/published/selfsupervised_finetuned_accuracy.csv
    "byol": Release(
        "Grill et al., NeurIPS 2020", "https://storage.googleapis.com/deepmind-byol/checkpoints/pretrain_res50x1.pkl",
        "Apache-2.0", dropped=("fc.",), converter="https://github.com/ajtejankar/byol-convert",
        converted="pretrain_res50x1.pth.tar",
    ),
    "deepcluster-v2": Release(
        "Caron et al., NeurIPS 2020, appendix", f"{_SWAV_URL}/deepclusterv2_800ep_pretrain.pth.tar", **_SWAV
    ),
    "infomin": Release(
        "Tian et al., NeurIPS 2020", f"{_PYCONTRAST_URL}/AAAzMTynP3Qc8mIE4XWkgILUa/InfoMin_800.pth?dl=1", **_PYCONTRAST
    ),
    "insdis": Release(
        "Wu et al., CVPR 2018", f"{_PYCONTRAST_URL}/AACcsSIt1_Njv7GsmsuzZ6Sta/InsDis.pth?dl=1", **_PYCONTRAST
    ),
    "moco-v1": Release(
        "He et al., CVPR 2020", f"{_MOCO_URL}/moco_v1_200ep/moco_v1_200ep_pretrain.pth.tar", "CC BY-NC 4.0",
        md5="b251726a", **_MOCO,
    ),
    "moco-v2": Release(
        "Chen et al., 2020", f"{_MOCO_URL}/moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar", "CC BY-NC 4.0",
        md5="a04e12f8", **_MOCO,
    ),
    "pcl-v1": Release("Li et al., ICLR 2021", f"{_PCL_URL}/PCL_v1_epoch200.pth.tar", "MIT", **_MOCO),
    "pcl-v2": Release("Li et al., ICLR 2021", f"{_PCL_URL}/PCL_v2_epoch200.pth.tar", "MIT", **_MOCO),
    "sela-v2": Release(
        "Caron et al., NeurIPS 2020, appendix", f"{_SWAV_URL}/selav2_400ep_pretrain.pth.tar", **_SWAV
    ),
    "simclr-v1": Release(
        "Chen et al., ICML 2020", "https://storage.cloud.google.com/simclr-gcs/checkpoints/ResNet50_1x.zip",
        "Apache-2.0", dropped=("fc.",), converter="https://github.com/tonylins/simclr-converter",
        converted="resnet50-1x.pth", imagenet_scaled=False,
    ),
    "simclr-v2": Release(
        "Chen et al., NeurIPS 2020",
        "https://console.cloud.google.com/storage/browser/simclr-checkpoints/simclrv2/pretrained/r50_1x_sk0",
        "Apache-2.0", dropped=("fc.",), converter="https://github.com/Separius/SimCLRv2-Pytorch",
        converted="r50_1x_sk0.pth", imagenet_scaled=False,
    ),
    "swav": Release("Caron et al., NeurIPS 2020", f"{_SWAV_URL}/swav_800ep_pretrain.pth.tar", **_SWAV),
}  # fmt: skip


def place(name: str) -> Path:
    """Where a release's file lies, or will lie."""
    return paths.downloads() / "checkpoints" / _release(name).file


def load(name: str, transform: str = "own", path: Path | None = None) -> tuple[nn.Module, Transform, dict]:
    """A published self-supervised network, its preprocessing, and a record of what was loaded.

    Parameters
    ----------
    name : str
        One of `RELEASES`: ``byol``, ``moco-v2``, ...
    transform : {"own", "released"}
        As for `networks.checkpoint`; ``own`` takes 224 pixels from the middle of 256. Colours are scaled as in
        the network's training.
    path : Path, optional
        The file; by default the one at `place`, which is downloaded if it is not there.

    Returns
    -------
    network : torch.nn.Module
        torchvision's ``resnet50`` on the CPU, in evaluation mode. Its last layer has the random weights of seed 0: none
        of these models has a classifier.
    transform : Transform
    record : dict
        As that of `networks.load`. ``accuracy`` is NaN: it would take ImageNet's images to measure it.

    Raises
    ------
    OSError
        If the file is not there and cannot be downloaded; the message says what to put where.
    ValueError
        If there is no such release, or the file is not this release: it has another digest, cannot be read without
        running code from it, or has keys or shapes that do not belong there.

    Notes
    -----
    Most authors publish no digest. The first load that succeeds writes the file's SHA-256 beside it, as
    ``<file>.sha256``; from then on another content is refused.
    """
    release = _release(name)
    path = fetch(name) if path is None else Path(path)
    if release.md5 and not (found := file_digests.of_file(path, "md5")).startswith(release.md5):
        raise ValueError(
            f"{path.name} has MD5 {found}, that of {name} begins with {release.md5}: "
            f"download it again from {release.url}"
        )
    record, found = path.with_name(f"{path.name}.sha256"), file_digests.of_file(path)
    if record.exists() and record.read_text().strip() != found:
        raise ValueError(
            f"{path.name} has SHA-256 {found}, another than {record.name} recorded when it was first loaded: "
            f"download it again from {release.url}, or delete the record if the change is meant"
        )
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(
            f"{path.name} holds more than tensors, and reading it could run any code; allowed is a file of weights: "
            f"{_source(release)}"
        ) from None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = resnet50()
    head = {f"fc.{key}": value for key, value in network.fc.state_dict().items()}
    network.load_state_dict(translate(name, checkpoint) | head)
    network.name = name
    artifacts.write(record, f"{found}\n")
    shown = networks.checkpoint("resnet50", transform=transform).transform
    if not release.imagenet_scaled:
        shown = replace(shown, mean=(0.0,) * 3, std=(1.0,) * 3)
    description = {
        "model": name,
        "weights": f"authors' ({path.name})",
        "url": release.url,
        "sha256": found,
        "accuracy": math.nan,
        "n_parameters": sum(p.numel() for p in network.parameters()),
        "n_features": network.fc.in_features,
        "n_classes": network.fc.out_features,
        "transform": describe(shown),
    }
    return network.eval(), shown, description


def fetch(name: str) -> Path:
    """The file of a release, downloaded from its authors unless it is there.

    Raises
    ------
    OSError
        If it is not there, and needs a converter or cannot be downloaded; the message says what to put where.
    """
    release, path = _release(name), place(name)
    if path.exists():
        return path
    if release.converter:
        raise FileNotFoundError(f"there is no {path.name} for {name} ({release.licence}): {remedy(name)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(release.url, str(path))  # to a temporary name first
    except OSError as error:
        raise OSError(f"no {path.name} for {name} ({release.licence}), and {error}: {remedy(name)}") from None
    return path


def remedy(name: str) -> str:
    """What to do to have a release's file, in words."""
    return f"{_source(_release(name))}, and put it at {place(name)}"


def translate(name: str, checkpoint: Mapping) -> dict[str, Tensor]:
    """The backbone of a release under the names of torchvision's ``resnet50``, without its last layer.

    Parameters
    ----------
    name : str
        One of `RELEASES`.
    checkpoint : mapping
        What the file holds: the weights, or a mapping with them under ``state_dict``, ``model`` or ``resnet``.

    Raises
    ------
    ValueError
        If a key is unknown or missing, or an array has another shape: the message names the first of them.
    """
    release = _release(name)
    state = next((checkpoint[key] for key in ("state_dict", "model", "resnet") if key in checkpoint), checkpoint)
    kept = {key: value for key, value in state.items() if not key.startswith(release.dropped or ("\0",))}
    ours = {key: _torchvision(key.removeprefix(release.prefix)) for key in kept if key.startswith(release.prefix)}
    backbone = {ours[key]: kept[key] for key in ours}
    with torch.device("meta"):
        expected = {key: value.shape for key, value in resnet50().state_dict().items() if not key.startswith("fc.")}
    optional = {key for key in expected if key.endswith("num_batches_tracked")}
    problems = {
        "unknown": [key for key in kept if ours.get(key) not in expected],
        "missing": sorted(expected.keys() - backbone.keys() - optional),
        "of another shape": [key for key in backbone.keys() & expected.keys() if backbone[key].shape != expected[key]],
    }
    for problem, keys in problems.items():
        if keys:
            raise ValueError(
                f"not the ResNet-50 of {name}: {len(keys)} keys {problem}, the first is {sorted(keys)[0]!r}; allowed "
                f"are the keys of torchvision's resnet50 after {release.prefix!r}: is this the file of another model?"
            )
    return {key: backbone.get(key, torch.tensor(0)) for key in expected}


_SIMCLR_V2 = (  # the converted SimCLR v2 numbers layers in the order of their use
    (r"net\.0\.0\.", "conv1."),
    (r"net\.0\.1\.0\.", "bn1."),
    (r"net\.(\d)\.blocks\.(\d+)\.projection\.shortcut\.", r"layer\1.\2.downsample.0."),
    (r"net\.(\d)\.blocks\.(\d+)\.projection\.bn\.0\.", r"layer\1.\2.downsample.1."),
    (r"net\.(\d)\.blocks\.(\d+)\.net\.0\.", r"layer\1.\2.conv1."),
    (r"net\.(\d)\.blocks\.(\d+)\.net\.1\.0\.", r"layer\1.\2.bn1."),
    (r"net\.(\d)\.blocks\.(\d+)\.net\.2\.", r"layer\1.\2.conv2."),
    (r"net\.(\d)\.blocks\.(\d+)\.net\.3\.0\.", r"layer\1.\2.bn2."),
    (r"net\.(\d)\.blocks\.(\d+)\.net\.4\.", r"layer\1.\2.conv3."),
    (r"net\.(\d)\.blocks\.(\d+)\.net\.5\.0\.", r"layer\1.\2.bn3."),
)


def _torchvision(key: str) -> str:
    for pattern, replacement in _SIMCLR_V2:
        key = re.sub(f"^{pattern}", replacement, key)
    return key


def _release(name: str) -> Release:
    refuse_unknown("release", name, RELEASES)
    return RELEASES[name]


def _source(release: Release) -> str:
    converted = f" and convert it with {release.converter}" if release.converter else ""
    return f"download {release.url}{converted}"
