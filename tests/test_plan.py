"""What a profile needs and what it will do, said before anything is done."""

import pytest
import yaml
from conftest import REPOSITORY

from ncrepro.commands import cli, plan
from ncrepro.extraction import networks
from ncrepro.lab import manual_data, profiles
from ncrepro.lab.datasets import torchvision_datasets as datasets
from ncrepro.lab.experiment import Experiment
from ncrepro.lab.models import selfsupervised
from ncrepro.store import paths


@pytest.fixture
def paper(root, monkeypatch):
    """The paper's profile on a machine that has nothing yet."""
    monkeypatch.setenv("NCREPRO_PROFILE", "paper")
    monkeypatch.setenv("NCREPRO_DATA", str(root / "elsewhere"))
    return profiles.load()


def test_everything_that_the_pools_name_is_listed_once(paper):
    table = plan.data(paper)
    pools = paper.pools.values()
    expected = {name for pool in pools for name in (*pool.sources, *pool.targets)} - {"imagenet"}
    assert set(table.loc[table["kind"] == "data set", "name"]) == expected
    authors = set(paper.pool("selfsupervised").losses)
    assert set(table.loc[table["kind"] == "checkpoint", "name"]) == authors | {
        a for pool in pools for a in pool.architectures
    }
    assert not table.duplicated(["kind", "name"]).any()


def test_each_says_whether_it_is_there_how_large_it_is_and_how_to_get_it(paper):
    table = plan.data(paper).set_index("name")
    by_hand = {"cars", "sun397", "byol", "simclr_v1", "simclr_v2"}
    assert table["state"].value_counts().to_dict() == {"missing": len(table) - len(by_hand), "by hand": len(by_hand)}
    assert set(table.index[table["state"] == "by hand"]) == by_hand
    assert set(table.index[table["megabytes"] == 0]) == set(
        paper.pool("selfsupervised").losses
    )  # whose sizes nobody states
    assert table["licence"].str.len().gt(0).all()
    assert table["how"].str.contains("http").all()
    (paths.downloads() / "dtd" / "dtd").mkdir(parents=True)
    file = networks.checkpoint("resnet50").file
    file.parent.mkdir(parents=True)
    file.touch()
    selfsupervised.place("byol").touch()
    table = plan.data(paper).set_index("name")
    assert set(table.index[table["state"] == "present"]) == {"dtd", "resnet50", "byol"}


def test_the_list_is_readable(paper, capsys):
    assert cli.main(["data"]) == 0
    output = capsys.readouterr().out
    assert "missing  cub" in output and "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz" in output
    assert "by hand  sun397" in output and "SUN397/Training_01.txt" in output
    assert "resnet50-0676ba61.pth" in output and "IMAGENET1K_V1, top-1 76.1 %" in output
    assert f"Everything lies in {paths.downloads()}" in output
    assert max(len(line) for line in output.splitlines() if str(paths.downloads()) not in line) < 150


def test_the_plan_counts_what_is_to_do_and_what_is_done(paper, capsys):
    study = Experiment("supervised", "paper")
    table = plan.jobs_of_pool(study)
    n_models, n_targets = len(study.pool.models), len(study.pool.targets)
    assert table["step"].value_counts().to_dict() == {
        "pretrain": n_models, "extract": n_models * n_targets, "score": n_models * n_targets,
        "finetune": n_models * sum(len(study.pool.seeds_of(t)) for t in study.pool.targets),
    }  # fmt: skip
    assert not table["done"].any()
    job = study.jobs()["extract"][3][2]
    job.path.parent.mkdir(parents=True)
    job.path.touch()
    assert plan.jobs_of_pool(study)["done"].sum() == 1
    assert cli.main(["plan"]) == 0
    output = capsys.readouterr().out
    assert f"extract {n_models * n_targets} feature matrices (model x target); 1 done" in output
    assert "! cars is not downloaded for you, and it is left out; to have it, put" in output
    assert "Pool selfsupervised: 9 models, 9 targets" in output and "weights authors" in output
    assert "ncti: 11 models x 9 targets, judged by published accuracies" in output
    assert "face: 15 models x 7 targets, judged by accuracies fine-tuned here" in output
    assert "20 epochs, SGD 0.01, batch 64, 3 seeds" in output
    assert "cifar10 45,000 + 10,000" in output


def test_costs_follow_from_images_and_published_multiply_adds(paper):
    study = Experiment("supervised", "paper")
    table = plan.jobs_of_pool(study).set_index(["step", "model", "data"])
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


def test_the_plan_and_the_costs_know_the_targets_with_a_recipe_of_their_own(root, monkeypatch, capsys):
    profile = yaml.safe_load((root / "notebooks/profiles/paper_segmentation.yaml").read_text())
    pool = profile["pools"]["segmentation"]
    pool |= {"sources": ["voc2012"], "targets": ["cityscapes", "camvid"], "more_seeds": {"camvid": 5}}
    pool["finetune_of"] = {"camvid": pool["finetune"] | {"epochs": 600}}
    (root / "notebooks/profiles/own.yaml").write_text(yaml.safe_dump(profile | {"pools": {"segmentation": pool}}))
    monkeypatch.setenv("NCREPRO_PROFILE", "own")
    assert cli.main(["plan"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "fine-tuned on cityscapes: batch_size 8, epochs 60, learning_rate 0.0001, optimiser sgd, seeds 3" in output
    assert "fine-tuned on camvid: batch_size 8, epochs 600, learning_rate 0.0001, optimiser sgd, seeds 5" in output
    tunings = (
        plan.jobs_of_pool(Experiment("segmentation", "own")).query("step == 'finetune'").set_index("data")["images"]
    )
    sizes = {name: manual_data.ENTRIES[name] for name in ("cityscapes", "camvid")}
    assert set(tunings["cityscapes"]) == {60 * sizes["cityscapes"].n_train + sizes["cityscapes"].n_test}
    assert set(tunings["camvid"]) == {600 * sizes["camvid"].n_train + sizes["camvid"].n_test}


def test_a_profile_that_draws_its_data_needs_nothing(monkeypatch, capsys, root):
    monkeypatch.setenv("NCREPRO_PROFILE", "smoke")
    assert cli.main(["data"]) == 0
    assert capsys.readouterr().out == (
        "The data of this profile are drawn here or lie in this folder: nothing is downloaded.\n"
    )
    assert cli.main(["plan"]) == 0
    output = capsys.readouterr().out
    assert "nothing: the data are here, or drawn on the spot" in output and "pre-train 5 networks; 0 done" in output


def test_nothing_is_downloaded_or_made(paper, root, monkeypatch):
    before = sorted(root.rglob("*"))
    for what in ("data", "plan"):
        assert cli.main([what]) == 0
    assert sorted(root.rglob("*")) == before


def test_a_pool_on_folders_of_your_own_is_listed_with_the_place_for_them(root, monkeypatch, capsys):
    profile = yaml.safe_load((root / "notebooks/profiles/paper.yaml").read_text())
    pool = profile["pools"]["multi_source"] | {
        "sources": ["imagenet"],
        "targets": ["folder/mine", "dtd"],
        "architectures": ["resnet18"],
    }
    pool["pretrain"] = {"weights": "local", "transform": "released"}
    (root / "notebooks/profiles/own.yaml").write_text(yaml.safe_dump(profile | {"pools": {"own": pool}}))
    monkeypatch.setenv("NCREPRO_PROFILE", "own")
    monkeypatch.setenv("NCREPRO_DATA", str(root / "elsewhere"))
    assert cli.main(["data"]) == 0
    output = capsys.readouterr().out
    assert f"{root}/elsewhere/mine/train/CLASS/*.jpg" in output
    assert f"{root}/elsewhere/checkpoints/resnet18.safetensors" in output
    assert cli.main(["plan"]) == 0


@pytest.mark.parametrize(("name", "n_sets", "checkpoints"), [("paper_segmentation", 9, {"smp-hub/resnet50.imagenet"}),
                         ("paper_text", 2, {"sijunhe/nezha-cn-base", "hfl/chinese-roberta-wwm-ext"})])  # fmt: skip
def test_what_has_to_be_put_in_place_is_listed_with_where(name, n_sets, checkpoints, root, monkeypatch, capsys):
    monkeypatch.setenv("NCREPRO_PROFILE", name)
    monkeypatch.setenv("NCREPRO_DATA", str(root / "elsewhere"))
    table = plan.data(profiles.load())
    sets = table[table["kind"] == "data set"].set_index("name")
    assert len(sets) == n_sets and (sets["state"] == "by hand").all() and sets["licence"].str.len().gt(0).all()
    assert sets["how"].str.match(r"get it from http\S+ and unpack it, so that \S+/ is there").all()
    assert set(table.loc[table["kind"] == "checkpoint", "name"]) == checkpoints
    assert cli.main(["plan"]) == 0
    output = capsys.readouterr().out
    assert (
        f"! {sets.index[0]} is not downloaded for you, and nothing starts without it; to have it, get it from" in output
    )
    assert "on one GPU" in output and ("million texts" in output) == (name == "paper_text")
    (root / "elsewhere" / plan._place(sets.index[0])[0]).mkdir(parents=True)
    assert plan.data(profiles.load()).set_index("name").at[sets.index[0], "state"] == "present"


def test_the_cost_of_a_segmentation_follows_from_its_images(root):
    table = plan.jobs_of_pool(Experiment("segmentation", "paper_segmentation")).set_index(["step", "model", "data"])
    seen = table.loc[("pretrain", "ade20k", "ade20k")]
    assert seen["images"] == 60 * 20_210 + 2_000
    assert seen["hours"] == pytest.approx((60 * 3 * 20_210 + 2_000) * 95.5 / 8_000 / 3600)


def test_an_error_is_one_line(root, monkeypatch, capsys):
    monkeypatch.setenv("NCREPRO_PROFILE", "papr")
    assert cli.main(["plan"]) == 1
    assert capsys.readouterr().err.startswith("error: unknown profile 'papr'")


def test_the_table_of_the_readme_tells_the_same_facts():
    text = (REPOSITORY / "data" / "README.md").read_text()
    for name, entry in datasets.ENTRIES.items():
        assert (
            f"| {name} | [{entry.title}]({entry.page}) | {entry.n_classes} | {entry.n_train:,} | {entry.n_test:,} |"
            in text
        )


def test_the_readme_tells_the_same_of_what_is_put_in_place_by_hand():
    rows = (REPOSITORY / "data" / "README.md").read_text().splitlines()
    for name, entry in manual_data.ENTRIES.items():
        folder, page = plan._place(name)
        row = next(row for row in rows if row.startswith(f"| {name} | `{folder}/`"))
        size = f"{entry.gigabytes} GB" if entry.gigabytes else "not known"
        assert f"<{page}>" in row and row.endswith(
            f"| {entry.n_train:,} | {entry.n_test:,} | {size} | {entry.licence} |"
        )


def test_the_facts_of_a_data_set_are_all_stated():
    for entry in datasets.ENTRIES.values():
        assert entry.title and entry.licence and entry.page.startswith("http") and entry.marker
        assert entry.archives or entry.by_hand
        assert all(len(archive.md5) == 32 for archive in entry.archives)
