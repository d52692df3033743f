import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import REPOSITORY

from ncrepro.commands import cli as pipeline
from ncrepro.commands import variables
from ncrepro.lab import experiment, models, profiles, recipes
from ncrepro.store import paths, yaml12


def rewrite(root, old, new):
    path = root / "notebooks" / "profiles" / "smoke.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("name", profiles.names())
def test_every_profile_names_only_models_and_data_sets_that_exist(name):
    for pool in profiles.load(name).pools.values():
        experiment.Experiment(pool.name, name)  # refuses what its task does not know


def test_the_demo_ranks_the_papers_own_pools():
    pool = profiles.load("demo").pool("supervised")
    assert set(pool.subset("ncti")) == set(models.vision.NCTI_POOL)
    assert set(pool.subset("face")) == set(models.vision.FACE_POOL)


def test_the_profile_is_read_from_the_environment_and_is_demo_without_it(monkeypatch):
    monkeypatch.setenv("NCREPRO_PROFILE", "smoke")
    assert profiles.load().name == "smoke"
    monkeypatch.delenv("NCREPRO_PROFILE")
    assert profiles.load().name == "demo"


@pytest.mark.parametrize("place", ["nowhere", "", "a file"])
def test_a_place_without_profiles_is_one_sentence_that_names_the_variable(place, tmp_path, monkeypatch, capsys):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("NCREPRO_ROOT", str(tmp_path / place))
    with pytest.raises(OSError, match=f"there is no profile in .*: NCREPRO_ROOT is '.*{place}'; name the folder"):
        variables.check()
    assert pipeline.main(["verify"]) == 1
    assert capsys.readouterr().err.startswith("error: there is no profile in ")


@pytest.mark.parametrize("name", paths.CHOSEN)
def test_a_chosen_folder_is_one_place_wherever_a_notebook_runs(name, root, monkeypatch):
    """A kernel starts in the folder of its notebook."""
    monkeypatch.chdir(root)
    monkeypatch.setenv(name, ".")
    pipeline.main(["verify"])
    assert os.environ[name] == str(root)
    monkeypatch.setenv(name, "~/there")
    pipeline.main(["verify"])
    assert os.environ[name] == os.path.expanduser("~/there")


def test_a_mistyped_profile_is_answered_with_the_nearest_name():
    with pytest.raises(ValueError, match="unknown profile 'dmo': choose one of classroom, demo.*did you mean 'demo'"):
        profiles.load("dmo")


def test_a_mistyped_pool_is_answered_with_the_nearest_name():
    with pytest.raises(ValueError, match="unknown pool 'supervized'.*did you mean 'supervised'"):
        experiment.Experiment("supervized", "smoke")


def test_a_mistyped_target_is_answered_with_the_nearest_name(root):
    rewrite(root, "[digits, signs, textures]", "[digits, sings, textures]")
    with pytest.raises(ValueError, match="unknown data set 'sings'.*did you mean 'signs'"):
        experiment.Experiment("supervised")


def test_models_are_named_after_what_distinguishes_them():
    recipe = {"epochs": 1}
    pool = profiles.Pool("p", ("resnet34", "vgg16"), ("source",), ("digits",), recipe, recipe)
    assert [m.name for m in pool.models] == ["resnet34", "vgg16"]
    assert [m.name for m in profiles.Pool("p", ("vgg16",), ("source",), ("digits",), recipe, recipe).models] == [
        "vgg16"
    ]
    pool = profiles.Pool("p", ("resnet34", "vgg16"), ("signs", "math"), ("digits",), recipe, recipe)
    assert [m.name for m in pool.models] == ["resnet34@signs", "resnet34@math", "vgg16@signs", "vgg16@math"]


# What is refused ------------------------------------------------------------------------------------------------------

BROKEN = [  # smoke.yaml with the first ``old`` replaced by ``new``, and the words its one sentence must have
    # The file
    ("workers: 2", "workers: 2\n\tdisk: 1", "smoke.yaml: line 3 is not YAML: .*blanks, not tabs"),
    ("pools:\n", "pools: [\n", "smoke.yaml: line [0-9]+ is not YAML"),
    ("workers: 2", "workers: 2\nworkers: 3", "smoke.yaml: line 1: the key 'workers' occurs 2 times; keep one"),
    ("  multi_source:", "  supervised:", "smoke.yaml: line 5: the key 'supervised' occurs 2 times"),
    ("seeds: 1", "seeds: 1\n    seeds: 2", "smoke.yaml: line 6: the key 'seeds' occurs 2 times"),
    ("epochs: 1, ", "epochs: 1, epochs: 2, ", "line 13: the key 'epochs' occurs 2 times"),
    ("workers: 2", "workers: !!python/name:os.getcwd", "line 2 is not YAML: could not determine a constructor"),
    ("workers: 2", "workers: !!bool 2", "smoke.yaml: line 2: '2' is no bool"),
    (
        "workers: 2",
        "workers: !!timestamp 2020-13-45",
        "smoke.yaml: line 2: '2020-13-45' is no timestamp .month must be in 1..12.; put text in quotes",
    ),
    ("workers: 2", "workers: " + "9" * 5000, "smoke.yaml: line 2: '9999.* is no int"),
    ("workers: 2", "workers: " + "9" * 4000, "smoke.yaml: workers is a number of more than 40 digits; allowed is"),
    ("workers: 2", "--- {}\n---\nworkers: 2", "smoke.yaml: line [0-9]+ is not YAML"),
    # The profile
    ("workers: 2", "worker: 2", "smoke.yaml: unknown key 'worker': .*did you mean 'workers'"),
    ("workers: 2\n", "", "the key 'workers' is missing; needed are description, workers, disk_gb, pools"),
    ("workers: 2", "name: other\nworkers: 2", "unknown key 'name'"),
    ("workers: 2", "repetition: 1\nworkers: 2", "unknown key 'repetition'"),
    ("workers: 2", "workers: 0", "workers is 0; allowed is a whole number from 1 to 1,024"),
    ("workers: 2", "workers: 1000000", "workers is 1000000; allowed is"),
    ("workers: 2", "workers: true", "workers is True; allowed is a whole number"),
    *(
        ("workers: 2", f"workers: {odd}", f"workers is '{odd}'; allowed is .*this is text: write digits")
        for odd in ("yes", "1:30", "0x10", "0o17", "0b1", "1_0", "2020-01-01", "=")
    ),
    ("workers: 2", "workers: '2'", "workers is '2'; allowed is .*without quotes"),
    ("workers: 2", "workers:", "workers is empty; allowed is a whole number"),
    ("disk_gb: 0.2", "disk_gb: -1", "disk_gb is -1; allowed is a number from 0"),
    ("disk_gb: 0.2", "disk_gb: .nan", "disk_gb is nan; allowed is"),
    ("disk_gb: 0.2", "disk_gb: .inf", "disk_gb is inf; allowed is"),
    ("description: Everything", "description: 3 #", "description is 3; allowed is text"),
    ("disk_gb: 0.2", "disk_gb: 0.2\nwithout: 33_cost", "without is '33_cost'; allowed is a list of one name or more"),
    (
        "disk_gb: 0.2",
        "disk_gb: 0.2\nwithout: [33_cots]",
        "without: unknown notebook '33_cots': .*did you mean '33_cost'",
    ),
    ("disk_gb: 0.2", "disk_gb: 0.2\nwithout: []", "without is \\[\\]; allowed is a list"),
    # A pool
    ("  multi_source:", "  multi-source:", "a key of pools is 'multi-source'; allowed is letters, digits and _"),
    ("  multi_source:", "  a.multi_source:", "a key of pools is 'a.multi_source'; allowed is letters"),
    ("ncti: [resnet34,", "n/cti: [resnet34,", "a key of pools.supervised.subsets is 'n/cti'; allowed is letters"),
    ("  multi_source:", "  ../../source:", "a key of pools is '../../source'; allowed is letters"),
    (
        "  multi_source:",
        "  " + "m" * 61 + ":",
        "a key of pools is 'm*[.]{3}m*'; allowed is letters, digits and _, 60 at",
    ),
    ("  multi_source:", "  3:", "a key of pools is 3; allowed is text"),
    (
        "architectures: [resnet34, densenet121",
        "architecture: [resnet34, densenet121",
        "pools.supervised: unknown key 'architecture'",
    ),
    (
        "max_per_class: 6",
        "max_perclass: 6",
        "pools.supervised: unknown key 'max_perclass'.*did you mean 'max_per_class'",
    ),
    ("max_per_class: 6", "max_per_class: 0", "pools.supervised.max_per_class is 0; allowed is"),
    ("max_per_class: 6", "max_per_class: 6.5", "pools.supervised.max_per_class is 6.5; allowed is a whole number"),
    ("    sources: [source]\n", "", "pools.supervised: the key 'sources' is missing"),
    ("sources: [source]", "sources: []", "pools.supervised.sources is \\[\\]; allowed is a list of one name or more"),
    ("sources: [source]", "sources: source", "pools.supervised.sources is 'source'; allowed is a list"),
    ("targets: [digits, signs", "targets: [digits, digits, signs", "pools.supervised.targets names 'digits' twice"),
    ("targets: [digits, signs", "targets: [digits, true", "pools.supervised.targets.1. is True; allowed is text"),
    (
        "targets: [digits, signs",
        "targets: [digits, source, signs",
        "pools.supervised.targets: 'source' is among the sources, too",
    ),
    (
        "[resnet34, densenet121,",
        "[resnet34, resnet34, densenet121,",
        "pools.supervised.architectures names 'resnet34' twice",
    ),
    ("losses: [cross_entropy,", "losses: [mixup, cross_entropy,", "pools.loss_functions.losses names 'mixup' twice"),
    (
        "task: segmentation",
        "task: segmentaton",
        "pools.segmentation.task: unknown task 'segmentaton': .*did you mean 'segmentation'",
    ),
    ("task: segmentation", "task: [text]", "pools.segmentation.task: unknown task"),
    ("seeds: 1", "seeds: 0", "pools.supervised.seeds is 0; allowed is a whole number from 1 to 1,000"),
    ("seeds: 1", "seeds: 1001", "pools.supervised.seeds is 1001; allowed is"),
    (
        "more_seeds: {digits: 2}",
        "more_seeds: {digit: 2}",
        "pools.supervised.more_seeds: unknown target 'digit': .*did you mean 'digits'",
    ),
    ("more_seeds: {digits: 2}", "more_seeds: {digits: 0}", "pools.supervised.more_seeds.digits is 0; allowed is"),
    ("more_seeds: {digits: 2}", "more_seeds: 2", "pools.supervised.more_seeds is 2; allowed is a mapping"),
    (
        "more_seeds: {digits: 2}",
        "more_seeds: {true: 2}",
        "a key of pools.supervised.more_seeds is True; allowed is text",
    ),
    ("seeds: 1", "finetune_of: {digit: {}}", "pools.supervised.finetune_of: unknown target 'digit'"),
    (
        "seeds: 1",
        "finetune_of: {digits: {epochs: 1}}",
        "pools.supervised.finetune_of.digits: the key 'batch_size' is missing",
    ),
    ("seeds: 1", "extract: {split: released}", "pools.supervised.extract: the key 'split' means nothing here"),
    # Its subsets
    (
        "ncti: [resnet34,",
        "ncti: [resnet43,",
        "pools.supervised.subsets.ncti.models: unknown model 'resnet43'.*did you mean 'resnet34'",
    ),
    ("ncti: [resnet34,", "ncti: [vgg16, vgg16, resnet34,", "pools.supervised.subsets.ncti.models names 'vgg16' twice"),
    ("ncti: [resnet34, densenet121, mobilenet_v2]", "ncti: []", "pools.supervised.subsets.ncti.models is \\[\\]"),
    (
        "ncti: [resnet34, densenet121, mobilenet_v2]",
        "ncti: {targets: [digits]}",
        "subsets.ncti: the key 'models' is missing",
    ),
    (
        "ncti: [resnet34, densenet121, mobilenet_v2]",
        "ncti: {models: [vgg16], target: [digits]}",
        "subsets.ncti: unknown key 'target'",
    ),
    (
        "ncti: [resnet34, densenet121, mobilenet_v2]",
        "ncti: {models: [vgg16], targets: [math]}",
        "ncti.targets: unknown target 'math'",
    ),
    (
        "ncti: [resnet34, densenet121, mobilenet_v2]",
        "ncti: {models: [vgg16], truth: top1}",
        "ncti.truth: unknown truth 'top1'",
    ),
    # Recipes, one for each task
    (
        "epochs: 1, ",
        "",
        "pools.supervised.pretrain: the key 'epochs' is missing; needed are epochs, batch_size, learning_rate",
    ),
    ("epochs: 1, ", "epoch: 1, ", "pools.supervised.pretrain: unknown key 'epoch': .*did you mean 'epochs'"),
    ("epochs: 1, ", "epochs: 1.5, ", "pools.supervised.pretrain.epochs is 1.5; allowed is a whole number"),
    (
        "epochs: 1, ",
        "epochs: 1, warmup: 2, ",
        "pools.supervised.pretrain.warmup is 2; allowed is a number from 0 up to",
    ),
    (
        "epochs: 1, ",
        "epochs: 1, shift: 32, ",
        "pools.supervised.pretrain.shift is 32; allowed is a whole number from 0 to 31",
    ),
    ("epochs: 1, ", "epochs: 1, power: 1.0, ", "pools.supervised.pretrain: unknown key 'power'"),
    ("learning_rate: 0.08", "learning_rate: .inf", "pretrain.learning_rate is inf; allowed is a number more than 0"),
    ("learning_rate: 0.03", "learning_rate: -0.03", "pools.supervised.finetune.learning_rate is -0.03; allowed is"),
    ("learning_rate: 0.03", "learning_rate: off", "pools.supervised.finetune.learning_rate is 'off'; allowed is"),
    (
        "pretrain: {epochs: 1, batch_size: 48, learning_rate: 0.08}",
        "pretrain: 5",
        "pools.supervised.pretrain is 5; allowed is a mapping",
    ),
    ("learning_rate: 0.002}", "learning_rate: 0.002, warmup: 2}", "pools.segmentation.pretrain.warmup is 2"),
    (
        "learning_rate: 0.002}",
        "learning_rate: 0.002, optimiser: adam}",
        "segmentation.pretrain.optimiser: unknown optimiser 'adam'",
    ),
    ("power: 1.0}", "power: 0}", "pools.text.pretrain.power is 0; allowed is a number more than 0"),
    ("power: 1.0}", "power: 1.0, momentum: 0.9}", "pools.text.pretrain: unknown key 'momentum'"),
    (
        "batch_size: 64, learning_rate: 0.005}",
        "batch_size: 64, learning_rate: 0.005, warmup: 2}",
        "pools.selfsupervised.pretrain.warmup is 2",
    ),
    (
        "batch_size: 64, learning_rate: 0.005}",
        "batch_size: 64, learning_rate: 0.005, momentum: 0.9}",
        "pools.selfsupervised.pretrain: unknown key 'momentum'",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_a_broken_profile_is_one_sentence_that_names_key_value_and_remedy(old, new, message, root):
    (root / "notebooks" / "33_cost.ipynb").touch()
    path = root / "notebooks" / "profiles" / "smoke.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as caught:
        profiles.load()
    assert str(caught.value).startswith("smoke.yaml: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("ground_truth: finetune, ", "", "pools.supervised.finetune: the key 'ground_truth' is missing"),
        (
            "ground_truth: finetune, ",
            "ground_truth: finetuned, ",
            "finetune.ground_truth: unknown ground_truth 'finetuned'.*mean 'finetune'",
        ),
        ("epochs: 20, ", "", "pools.supervised.finetune: the key 'epochs' is missing"),
        (
            "learning_rate: 0.01}",
            "learning_rate: [0.01, 0]}",
            "pools.supervised.finetune.learning_rate.1. is 0; allowed is",
        ),
        ("learning_rate: 0.01}", "learning_rate: []}", "pools.supervised.finetune.learning_rate is \\[\\]; allowed is"),
        (
            "ground_truth: published}",
            "ground_truth: published, epochs: 2}",
            "finetune_of.aircraft: unknown key 'epochs'",
        ),
        (
            "transform: released}",
            "transfrom: released}",
            "pretrain: unknown key 'transfrom': .*did you mean 'transform'",
        ),
        ("transform: released}", "transform: released, epochs: 3}", "pools.supervised.pretrain: unknown key 'epochs'"),
        (
            "extract: {split: released, ",
            "extract: {",
            "pools.supervised.extract: the key 'split' is missing; needed are split, precision",
        ),
        ("epochs: 100, ", "", "pools.multi_source.pretrain: the key 'epochs' is missing"),
        (
            "truth: published",
            "truth: publishd",
            "subsets.ncti.truth: unknown truth 'publishd': .*did you mean 'published'",
        ),
    ],
)
def test_a_broken_profile_of_published_networks_is_one_sentence_too(old, new, message, root):
    path = root / "notebooks" / "profiles" / "paper.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=f"^paper.yaml: .*({message})"):
        profiles.load("paper")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; allowed is a mapping, KEY: VALUE"),
        (b"# nothing\n", "the file is empty"),
        (b"x: " + b"y" * 100_000, "it has 100,003 characters; allowed are 100,000"),
        (b"- a\n- b\n", r"the file is \['a', 'b'\]; allowed is a mapping"),
        (b"just words", "the file is 'just words'; allowed is a mapping"),
        (b"description: caf\xe9", "byte 17 is not UTF-8"),
        (b"\x7fELF\x00\x01\x02", "character 1 is not text but 0x7f"),
        (b"[" * 2_000, "nested too deeply"),
        (
            b"pools: &p {supervised: *p}\ndescription: x\nworkers: 1\ndisk_gb: 1",
            "pools.supervised: unknown key 'supervised'",
        ),
        (b"pools: {}\ndescription: x\nworkers: 1\ndisk_gb: 1", "pools is {}; allowed is one pool or more"),
        (b"pools:\ndescription: x\nworkers: 1\ndisk_gb: 1", "pools is empty; allowed is a mapping"),
        (b"pools: {p: }\ndescription: x\nworkers: 1\ndisk_gb: 1", "pools.p is empty; allowed is a mapping"),
        (b"pools: {p: {}}\ndescription: x\nworkers: 1\ndisk_gb: 1", "pools.p: the key 'architectures' is missing"),
    ],
)
def test_a_file_that_is_no_profile_is_one_sentence(content, message, root):
    (root / "notebooks" / "profiles" / "smoke.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=f"^smoke.yaml: .*{message}") as caught:
        profiles.load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("text", "read"), [("010", 10), ("+12", 12), ("016", 16)])
def test_a_whole_number_is_decimal_whatever_it_begins_with(text, read, root):
    rewrite(root, "workers: 2", f"workers: {text}")
    assert profiles.load().workers == read


def test_a_number_with_an_exponent_is_one_and_yes_and_no_are_words(root):
    rewrite(root, "learning_rate: 0.08", "learning_rate: 8e-2")
    rewrite(root, "description: Everything once, as small as it can be; for tests. Its numbers mean nothing.",
            "description: no")  # fmt: skip
    profile = profiles.load()
    assert profile.description == "no" and profile.pool("supervised").pretrain["learning_rate"] == 0.08


def test_no_committed_profile_is_read_otherwise_than_by_pyyaml():
    """Else what was trained and run would be made again."""
    for name in profiles.names():
        text = (REPOSITORY / "notebooks" / "profiles" / f"{name}.yaml").read_text()
        assert repr(yaml12.parse(text)) == repr(yaml.safe_load(text))


def test_a_value_that_would_be_printed_for_ever_is_shortened(root):
    bomb = "&a0 [x, x, x]" + "".join(f", &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))
    path = root / "notebooks" / "profiles" / "smoke.yaml"
    path.write_text(path.read_text().replace("task: segmentation", f"task: [{bomb}]", 1))
    with pytest.raises(ValueError, match="pools.segmentation.task: unknown task") as caught:
        profiles.load()
    assert len(str(caught.value)) < 600


def test_a_pool_of_pairs_has_no_pairs_as_encoders(root):
    path = root / "notebooks" / "profiles" / "smoke.yaml"
    images = profiles.load("smoke").pool("modalities").pretrain["images"]
    text = path.read_text()
    assert f"images: {images}" in text
    path.write_text(text.replace(f"images: {images}", "images: modalities", 1))
    with pytest.raises(ValueError, match="pools.modalities.pretrain.images is 'modalities', a pool of pairs"):
        experiment.Experiment("modalities", "smoke")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere")])
def test_what_cannot_be_read_is_one_sentence(make, root):
    path = root / "notebooks" / "profiles" / "smoke.yaml"
    path.unlink()
    make(path)
    with pytest.raises(ValueError, match="smoke.yaml: this is no file that can be read"):
        profiles.load()


def test_a_file_saved_on_windows_and_text_beyond_ascii_are_read(root):
    path = root / "notebooks" / "profiles" / "smoke.yaml"
    text = path.read_text().replace("Everything once", "Caf\u00e9")
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert profiles.load().description.startswith("Caf\u00e9")


@pytest.mark.parametrize("verb", ["check", "verify", "data"])
def test_every_verb_answers_a_broken_profile_with_one_line(verb, root, capsys):
    rewrite(root, "disk_gb: 0.2", "disk_gb: -1")
    assert pipeline.main([verb]) == 1
    assert re.fullmatch("error: smoke.yaml: disk_gb is -1; allowed is [^\n]*\n", capsys.readouterr().err)


@pytest.mark.parametrize("pool", ["supervised", "selfsupervised", "text", "time_series", "modalities", "segmentation"])
def test_check_looks_at_the_names_of_every_pool_before_anything_starts(pool, root, capsys):
    raw = yaml.safe_load((root / "notebooks/profiles/smoke.yaml").read_text())
    raw["pools"][pool]["architectures"] = ["resnet43"]
    raw["pools"][pool].pop("subsets", None)
    (root / "notebooks/profiles/smoke.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    assert pipeline.main(["check"]) == 1
    assert capsys.readouterr().err.startswith(
        f"error: smoke.yaml: pools.{pool}: unknown architecture 'resnet43': choose one of"
    )


def test_profiles_are_read_without_torch():
    code = (
        "import sys; from ncrepro.lab import profiles; [profiles.load(n) for n in profiles.names()]; "
        "print('torch' in sys.modules)"
    )
    environment = {"PYTHONPATH": str(REPOSITORY)}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True).stdout
        == "False\n"
    )


@pytest.mark.parametrize("path", sorted((REPOSITORY / "data/reference").glob("*/*/accuracies.csv")), ids=str)
def test_a_task_can_be_judged_by_the_accuracies_that_it_gives(path):
    task = profiles.load(path.parts[-3]).pool(path.parts[-2]).task
    judged_by = set(pd.read_csv(path, nrows=0).columns[3:]) - {"standard_error"}  # of the accuracy, no truth of its own
    assert judged_by <= set(recipes.tasks()[task].truths)


def test_every_task_has_its_recipes():
    modules = {path.stem for path in (REPOSITORY / "ncrepro/lab/tasks").glob("*.py")} - {
        "__init__",
        "steps",
    }
    assert recipes.tasks().keys() == modules


# Repetitions ----------------------------------------------------------------------------------------------------------


def test_a_repetition_is_the_same_profile_under_a_name_of_its_own():
    first, third = profiles.load("demo"), profiles.load("demo+3")
    assert (first.repetition, third.repetition, third.name) == (0, 3, "demo+3")
    assert replace(third, name="demo", repetition=0) == first
    assert not any("+" in name for name in profiles.names())


@pytest.mark.parametrize(
    "name", ["demo+0", "demo+x", "demo+", "demo+-1", "demo+01", "demo+1+1", "demo+1.5", "demo+\u0663", "demo+ 1"]
)
def test_what_is_no_repetition_is_refused(name):
    with pytest.raises(
        ValueError, match=re.escape(f"unknown repetition {name!r}: those of 'demo' are demo+1, demo+2, ...")
    ):
        profiles.load(name)
    with pytest.raises(ValueError, match="unknown profile 'dmo': .*did you mean 'demo'"):
        profiles.load("dmo+1")


def test_a_repetition_trains_from_other_seeds_and_lists_the_same_ones(root):
    study, again = (experiment.Experiment("supervised", name).jobs() for name in ("smoke", "smoke+2"))
    for step in ("pretrain", "finetune"):
        for (_, _, one), (_, _, other) in zip(study[step], again[step], strict=True):
            assert other.spec["seed"] == one.spec["seed"] + 2000 and other.label == one.label
            assert other.path.parts[-3] == "smoke+2" and other.spec.keys() == one.spec.keys()
    assert {job.spec["seed"] for _, _, job in study["finetune"]} == {0, 1}
    assert again["extract"][0][2].spec != study["extract"][0][2].spec
