"""The package as others install it: a wheel in a folder of its own, used from another, offline."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import REPOSITORY
from PIL import Image
from torchvision import models

OFFLINE = "import socket\n\ndef _no(*_):\n    raise OSError('no network here')\n\nsocket.socket.connect = _no\n"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder that the wheel is installed into."""
    folder = tmp_path_factory.mktemp("wheel")
    source, target = folder / "source", folder / "site"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "ncrepro"):
        (source / name).symlink_to(REPOSITORY / name)  # so that nothing is built inside the repository
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    wheel = [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source]
    subprocess.run(wheel, check=True, capture_output=True, text=True)
    (file,) = folder.glob("ncrepro-*.whl")
    command = [*pip, "install", "--no-deps", "--no-index", "--no-compile", "--target", target, file]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return target


@pytest.fixture
def ncrepro(installed, tmp_path):
    """Run the installed command in another folder, without a network, with a home of its own."""
    (tmp_path / "offline").mkdir()
    (tmp_path / "offline" / "sitecustomize.py").write_text(OFFLINE)
    place = tmp_path / "work"
    place.mkdir()

    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess:
        paths = os.pathsep.join(map(str, (installed, tmp_path / "offline")))
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        environment |= {"PYTHONDONTWRITEBYTECODE": "1", **more}
        command = [sys.executable, "-W", "ignore", "-m", "ncrepro", *map(str, arguments)]
        return subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)

    before = _state(installed)
    yield run
    assert _state(installed) == before  # nothing is ever written beside the code


def _state(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.fixture
def photos(tmp_path):
    """A folder of 18 photographs of three classes, and two files of weights."""
    rng = np.random.default_rng(0)
    for i in range(18):
        pixels = rng.integers(0, 120, (40, 40, 3), dtype=np.uint8)
        pixels[..., i % 3] += 100
        file = tmp_path / "work" / "photos" / f"class{i % 3}" / f"{i}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    for name in ("one", "two"):
        torch.save(models.squeezenet1_1(num_classes=5).state_dict(), tmp_path / "work" / f"{name}.pth")
    return "photos"


def test_a_folder_of_photographs_is_ranked_anywhere(ncrepro, photos, tmp_path):
    command = ["rank", photos, "--models", "a=squeezenet1_1:one.pth", "b=squeezenet1_1:two.pth"]
    command += ["--metrics", "logme", "--n-bootstrap", "2"]
    process = ncrepro(*command, "--json", "--html", "page.html")
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout)
    assert [row["rank"] for row in result["ranking"]] == [1, 2] and len(result["cautions"]) > 1
    page = (tmp_path / "work" / "page.html").read_text()
    assert "<svg" in page and "d &gt;= n" in page and "src=" not in page and "href=" not in page
    assert list((tmp_path / ".cache" / "ncrepro" / "rank" / "features").iterdir())  # the platform's folder for caches
    made = {path.name for path in (tmp_path / "work").iterdir()}
    assert made == {"photos", "one.pth", "two.pth", "page.html"}
    assert ncrepro(*command, "--quiet", NCREPRO_CACHE=str(tmp_path / "mine")).returncode == 0
    assert list((tmp_path / "mine" / "rank" / "features").iterdir())


def test_weights_that_torch_has_downloaded_are_used_and_missing_ones_named(ncrepro, photos):
    process = ncrepro("rank", photos, "--models", "squeezenet1_0", "squeezenet1_1")
    assert (
        process.returncode == 1
        and process.stderr.count("could not download") == 2
        and "Traceback" not in process.stderr
    )
    assert "squeezenet1_1-b8a52dc0.pth by hand" in process.stderr


def test_features_are_scored_with_labels_beside_them(ncrepro, tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "work" / "mine.npz", features=rng.standard_normal((30, 4)))
    labels = ["class", *("cat" if i % 2 else "dog" for i in range(30))]
    (tmp_path / "work" / "labels.csv").write_text("\n".join(labels) + "\n")
    process = ncrepro("score", "mine.npz", "--labels", "labels.csv", "--label-column", "class", "--json")
    assert process.returncode == 0, process.stderr
    assert {"ncti_seli", "logme", "gbc"} <= json.loads(process.stdout)["scores"]["mine"].keys()
    assert (
        "did you mean 'class'"
        in ncrepro("score", "mine.npz", "--labels", "labels.csv", "--label-column", "clas").stderr
    )


@pytest.mark.parametrize("command", ["plan", "verify", "data", "check", "lab", "run x"])
def test_what_needs_a_checkout_says_so_in_one_sentence(command, ncrepro):
    process = ncrepro(*command.split())
    assert process.returncode == 2 and process.stdout == ""
    assert process.stderr.startswith("error: ncrepro") and "needs a checkout of the compendium" in process.stderr
    assert process.stderr.count("\n") == 1


def test_the_metrics_of_the_wheel_need_no_torch(installed, tmp_path):
    code = "import ncrepro.metrics, sys; print('torch' in sys.modules, ncrepro.__file__)"
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(installed),
        "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True, check=True)  # fmt: skip
    loaded, file = run.stdout.split()
    assert loaded == "False" and Path(file).is_relative_to(installed)
