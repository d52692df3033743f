"""What a profile needs and what it will do, said before anything is done."""

import pytest
import yaml
from conftest import REPOSITORY

from ncrepro import catalogue, paths, profiles
from ncrepro.datasets import torchvision_datasets as datasets
from ncrepro.experiment import Experiment
from ncrepro.models import torchvision_models as models


@pytest.fixture
def paper(root, monkeypatch):
    """The paper's profile on a machine that has nothing yet."""
    monkeypatch.setenv("NCREPRO_PROFILE", "paper")
    monkeypatch.setenv("NCREPRO_DATA", str(root / "elsewhere"))
    return profiles.load()


def test_everything_that_the_pools_name_is_listed_once(paper):
    table = catalogue.data(paper)
    pools = paper.pools.values()
    wanted = {name for pool in pools for name in (*pool.sources, *pool.targets)} - {"imagenet"}
    assert set(table.loc[table["kind"] == "data set", "name"]) == wanted
    assert set(table.loc[table["kind"] == "checkpoint", "name"]) == {a for pool in pools for a in pool.architectures}
    assert not table.duplicated(["kind", "name"]).any()


def test_each_says_whether_it_is_there_how_large_it_is_and_how_to_get_it(paper):
    table = catalogue.data(paper).set_index("name")
    assert table["state"].value_counts().to_dict() == {"missing": len(table) - 2, "by hand": 2}
    assert set(table.index[table["state"] == "by hand"]) == {"cars", "sun397"}
    assert (table["megabytes"] > 0).all() and table["licence"].str.len().gt(0).all()
    assert table["how"].str.contains("http").all()
    (paths.downloads() / "dtd" / "dtd").mkdir(parents=True)
    file = models.checkpoint("resnet50").file
    file.parent.mkdir(parents=True)
    file.touch()
    table = catalogue.data(paper).set_index("name")
    assert set(table.index[table["state"] == "present"]) == {"dtd", "resnet50"}


def test_the_list_is_readable(paper, capsys):
    assert catalogue.main(["data"]) == 0
    said = capsys.readouterr().out
    assert "missing  cub" in said and "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz" in said
    assert "by hand  sun397" in said and "SUN397/Training_01.txt" in said
    assert "resnet50-0676ba61.pth" in said and "IMAGENET1K_V1, top-1 76.1 %" in said
    assert f"Everything lies in {paths.downloads()}" in said
    assert max(map(len, said.splitlines())) < 150


def test_the_plan_counts_what_is_to_do_and_what_is_done(paper, capsys):
    study = Experiment("supervised", "paper")
    table = catalogue.work(study)
    n_models, n_targets = len(study.pool.models), len(study.pool.targets)
    assert table["step"].value_counts().to_dict() == {
        "pretrain": n_models, "extract": n_models * n_targets, "score": n_models * n_targets,
        "finetune": n_models * sum(len(study.pool.seeds_of(t)) for t in study.pool.targets),
    }  # fmt: skip
    assert not table["done"].any()
    job = study.jobs()["extract"][3][2]
    job.path.parent.mkdir(parents=True)
    job.path.touch()
    assert catalogue.work(study)["done"].sum() == 1
    assert catalogue.main(["plan"]) == 0
    said = capsys.readouterr().out
    assert f"extract {n_models * n_targets} feature matrices (model x target); 1 done" in said
    assert "! cars is left out, its official download is gone; to have it put" in said
    assert "ncti: 11 models x 9 targets, judged by published accuracies" in said
    assert "face: 15 models x 7 targets, judged by accuracies fine-tuned here" in said
    assert "20 epochs, SGD 0.01, batch 64, 3 seeds" in said
    assert "cifar10 45,000 + 10,000" in said


def test_costs_follow_from_images_and_published_multiply_adds(paper):
    study = Experiment("supervised", "paper")
    table = catalogue.work(study).set_index(["step", "model", "data"])
    extraction = table.loc[("extract", "resnet50", "pets")]
    assert extraction["images"] == 3_680
    assert extraction["gigabytes"] == pytest.approx(3_680 * 4 * (1_750 + 1_000) / 1e9)
    assert extraction["hours"] == pytest.approx(3_680 / (120 * 16) / 3600)  # ResNet-50 is faster than the decoding
    tuning = table.loc[("finetune", "vgg16", "pets")].iloc[0]
    assert tuning["images"] == 20 * 3_680 + 3_669
    assert tuning["hours"] == pytest.approx((20 * 3 * 3_680 + 3_669) * 15.47 / 8_000 / 3600)
    assert table.loc[("finetune", "vgg16", "food")]["images"].sum() == 0  # published
    inception = [table.loc[("extract", "inception_v3", t)]["images"] for t in ("cifar10", "cifar100")]
    assert inception == [45_000, 45_000]


def test_a_profile_that_draws_its_data_needs_nothing(monkeypatch, capsys, root):
    monkeypatch.setenv("NCREPRO_PROFILE", "smoke")
    assert catalogue.main(["data"]) == 0
    assert capsys.readouterr().out == "This profile draws its data itself: nothing is downloaded.\n"
    assert catalogue.main(["plan"]) == 0
    said = capsys.readouterr().out
    assert "nothing: the data are drawn on the spot" in said and "pre-train 5 networks; 0 done" in said


def test_nothing_is_downloaded_or_made(paper, root, monkeypatch):
    before = sorted(root.rglob("*"))
    for what in ("data", "plan"):
        assert catalogue.main([what]) == 0
    assert sorted(root.rglob("*")) == before


def test_a_pool_on_folders_of_your_own_is_listed_with_the_place_for_them(root, monkeypatch, capsys):
    profile = yaml.safe_load((root / "notebooks/profiles/paper.yaml").read_text())
    pool = profile["pools"]["multi_source"] | {"sources": ["imagenet"], "targets": ["folder/mine", "dtd"], "architectures": ["resnet18"]}
    pool["pretrain"] = pool["pretrain"] | {"weights": "local"}
    (root / "notebooks/profiles/own.yaml").write_text(yaml.safe_dump(profile | {"pools": {"own": pool}}))
    monkeypatch.setenv("NCREPRO_PROFILE", "own")
    monkeypatch.setenv("NCREPRO_DATA", str(root / "elsewhere"))
    assert catalogue.main(["data"]) == 0
    said = capsys.readouterr().out
    assert f"{root}/elsewhere/mine/train/CLASS/*.jpg" in said
    assert f"{root}/elsewhere/checkpoints/resnet18.safetensors" in said
    assert catalogue.main(["plan"]) == 0


def test_an_error_is_one_line(root, monkeypatch, capsys):
    monkeypatch.setenv("NCREPRO_PROFILE", "papr")
    assert catalogue.main(["plan"]) == 1
    assert capsys.readouterr().err.startswith("error: unknown profile 'papr'")


def test_the_table_of_the_readme_tells_the_same_facts():
    said = (REPOSITORY / "data" / "README.md").read_text()
    for name, entry in datasets.ENTRIES.items():
        assert f"| {name} | [{entry.title}]({entry.page}) | {entry.n_classes} | {entry.n_train:,} | {entry.n_test:,} |" in said


def test_the_facts_of_a_data_set_are_all_stated():
    for entry in datasets.ENTRIES.values():
        assert entry.title and entry.licence and entry.page.startswith("http") and entry.marker
        assert entry.archives or entry.by_hand
        assert all(len(archive.md5) == 32 for archive in entry.archives)
