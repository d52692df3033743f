import pytest
from conftest import REPOSITORY

from ncrepro import experiment, models, profiles


def rewrite(root, old, new):
    path = root / "notebooks" / "profiles" / "smoke.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("name", profiles.names())
def test_every_profile_names_only_models_and_data_sets_that_exist(name):
    for pool in profiles.load(name).pools.values():
        experiment.Experiment(pool.name, name)  # refuses what its task does not know
        assert {*pool.more_seeds, *pool.finetune_of} <= set(pool.targets)


@pytest.mark.parametrize("name", profiles.names())
def test_a_profile_does_without_notebooks_that_exist(name):
    assert all((REPOSITORY / "notebooks" / f"{stem}.ipynb").exists() for stem in profiles.load(name).without)


def test_the_demo_ranks_the_papers_own_pools():
    pool = profiles.load("demo").pool("supervised")
    assert set(pool.subset("ncti")) == set(models.vision.NCTI_POOL)
    assert set(pool.subset("face")) == set(models.vision.FACE_POOL)


def test_the_profile_is_read_from_the_environment_and_is_demo_without_it(monkeypatch):
    monkeypatch.setenv("NCREPRO_PROFILE", "smoke")
    assert profiles.load().name == "smoke"
    monkeypatch.delenv("NCREPRO_PROFILE")
    assert profiles.load().name == "demo"


def test_a_mistyped_profile_is_answered_with_the_nearest_name():
    with pytest.raises(ValueError, match="unknown profile 'dmo': choose one of demo.*did you mean 'demo'"):
        profiles.load("dmo")


def test_a_mistyped_pool_is_answered_with_the_nearest_name():
    with pytest.raises(ValueError, match="unknown pool 'supervized'.*did you mean 'supervised'"):
        experiment.Experiment("supervized", "smoke")


def test_a_mistyped_target_is_answered_with_the_nearest_name(root):
    rewrite(root, "[digits, signs, textures]", "[digits, sings, textures]")
    with pytest.raises(ValueError, match="unknown data set 'sings'.*did you mean 'signs'"):
        experiment.Experiment("supervised")


def test_a_mistyped_key_of_a_profile_is_refused(root):
    rewrite(root, "max_per_class", "max_perclass")
    with pytest.raises(ValueError, match="smoke.yaml, pool supervised: unknown key 'max_perclass'"):
        profiles.load()


def test_a_subset_with_a_model_that_is_not_in_the_pool_is_refused(root):
    rewrite(root, "face: [densenet121", "face: [densnet121")
    with pytest.raises(ValueError, match="subset face: unknown model 'densnet121'"):
        profiles.load()


def test_models_are_named_after_what_distinguishes_them():
    recipe = {"epochs": 1}
    pool = profiles.Pool("p", ("resnet34", "vgg16"), ("source",), ("digits",), recipe, recipe)
    assert [m.name for m in pool.models] == ["resnet34", "vgg16"]
    assert [m.name for m in profiles.Pool("p", ("vgg16",), ("source",), ("digits",), recipe, recipe).models] == ["vgg16"]
    pool = profiles.Pool("p", ("resnet34", "vgg16"), ("signs", "math"), ("digits",), recipe, recipe)
    assert [m.name for m in pool.models] == ["resnet34@signs", "resnet34@math", "vgg16@signs", "vgg16@math"]
