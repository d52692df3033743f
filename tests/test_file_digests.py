"""Digests of folders: what counts, and how often a folder is looked at."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from ncrepro.extraction import folders
from ncrepro.lab.experiment import Experiment
from ncrepro.lab.scoring_job import take_step
from ncrepro.store import file_digests

pytestmark = pytest.mark.usefixtures("root")  # a cache of its own


@pytest.fixture
def folder(tmp_path):
    """Names whose order as text is not their order as paths: '-' comes before '/'."""
    place = tmp_path / "photos"
    for name in ("a/b.png", "a-b.png", "a.png", "B/c/d.png"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(name)
    return place


def test_the_digest_is_of_every_file_and_its_name_in_the_order_of_paths(folder):
    held = hashlib.sha256()
    for file in sorted(folder.rglob("*.png")):
        held.update(f"{file.relative_to(folder)} {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}\n".encode())
    assert file_digests.digest(folder) == held.hexdigest()[:16]
    before = file_digests.digest(folder)
    os.symlink("nowhere", folder / "broken")
    os.symlink("circle", folder / "circle")
    os.mkfifo(folder / "pipe")
    assert file_digests.digest(folder) == before
    (folder / "a.png").write_text("other")
    assert file_digests.digest(folder) != before


@pytest.mark.parametrize("damage", ["5", "null", "[1]", '{"FOLDER": 3}', '{"FOLDER": ["x"]}', "[" * 100_000, "{"])
def test_a_damaged_register_is_as_none(folder, damage):
    before = file_digests.digest(folder)
    register = file_digests.Register("folders").path
    assert register.is_file()
    register.write_text(damage.replace("FOLDER", str(folder)))
    assert file_digests.digest(folder) == before


def test_a_pipe_is_not_waited_for(folder):
    os.mkfifo(folder / "pipe")
    assert file_digests.digest(folder / "pipe") is None


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda path: path.symlink_to("nowhere/at/all")])
def test_what_is_no_file_in_a_registers_place_changes_nothing(make, folder):
    before = file_digests.digest(folder)
    register = file_digests.Register("folders").path
    register.unlink()
    make(register)
    assert file_digests.digest(folder) == before
    (folder / "a.png").write_text("other")
    assert file_digests.digest(folder) not in (before, None)


def test_data_that_cannot_be_read_are_refused_and_never_without_a_digest(folder, monkeypatch):
    def denied(path, algorithm="sha256"):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(file_digests, "of_file", denied)
    with pytest.raises(OSError, match="photos holds what cannot be read"):
        file_digests.of_data(folder)
    assert file_digests.of_data(folder / "nowhere") == {"folder": None}


def test_what_a_link_leads_to_counts_and_nothing_twice(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "e.png").write_text("e")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "a" / "back").symlink_to(folder)
    (folder / "again").symlink_to(elsewhere)
    before = file_digests.digest(folder)
    files = [(place, name) for place, names in file_digests.walk(str(folder)) for name in names]
    assert [Path(place, name).relative_to(folder).as_posix() for place, name in files if name == "e.png"] == [
        "again/e.png"
    ]
    (elsewhere / "e.png").write_text("other")
    assert file_digests.digest(folder) != before


def test_folders_may_lie_in_each_other_as_deep_as_paths_can_say(folder):
    place = str(folder / "deep")
    try:
        for _ in range(1500):
            os.mkdir(place)
            place += "/d"
        os.mkdir(place)
        Path(place, "last.png").touch()
        assert ("last.png",) in [tuple(names) for _, names in file_digests.walk(str(folder))]
        assert file_digests.digest(folder) is not None
        assert folders.tree(folder.parent, "deep", folder.name).sources[-1].name == "last.png"
        os.chdir(place)
        for _ in range(10):
            os.mkdir("e" * 200)
            os.chdir("e" * 200)
        with pytest.raises(OSError, match="photos holds folders in folders so deep that no path reaches them"):
            list(file_digests.walk(str(folder)))
    finally:
        os.chdir("/")
        subprocess.run(["rm", "-r", folder], check=True)  # what Python removes folders with fails as its walk does


def test_a_folder_is_looked_at_once_within_a_step_and_anew_in_the_next(folder):
    def inside():
        with file_digests.one_look():
            first = file_digests.of_data(folder)
            (folder / "more.png").write_text("more")
            with file_digests.one_look():
                assert file_digests.of_data(folder) == first
            assert file_digests.of_data(folder) == first
        return first

    first = inside()
    assert file_digests.of_data(folder) != first
    with pytest.raises(ZeroDivisionError), file_digests.one_look():
        file_digests.of_data(folder)
        _ = 1 / 0
    (folder / "more.png").unlink()
    assert file_digests.of_data(folder) == first


class Stop(Exception):
    """The jobs of a step are there, and none of them is done."""


def test_the_jobs_of_a_step_look_at_their_data_once(monkeypatch, folder):
    looked = []

    def run(study, title, made_by, **kept):
        raise Stop(len(made_by))

    monkeypatch.setattr(file_digests, "digest", lambda path: looked.append(path) or "digest")
    monkeypatch.setattr(Experiment, "_rests_on", lambda study, step, data: {"data": file_digests.of_data(folder)})
    monkeypatch.setattr(Experiment, "_run", run)
    monkeypatch.setattr(Experiment, "is_cold", False)
    study = Experiment("multi_source", "smoke")
    for verb in (study.pretrain, study.finetune, study.extract, study.score, lambda: study.measure(take_step, [{}])):
        looked.clear()
        with pytest.raises(Stop) as stop:
            verb()
        assert stop.value.args[0] > 1 and looked == [folder]


def test_of_yaml_counts_what_it_says_and_what_says_nothing_has_no_digest(tmp_path):
    """``010`` and ``8`` are two numbers, ``1e-3`` and ``0.001`` one; no text stops the make that asks."""

    def digest(text: str) -> str | None:
        (tmp_path / "profile.yaml").write_text(text)
        return file_digests.digest(tmp_path / "profile.yaml")

    assert digest("a: 010  # ten") == digest('{"a": 10}') != digest("a: 8")
    assert digest("a: 1e-3") == digest("a: 0.001")
    for text in ("{1: a, b: c}", "a: !!bool 2", "a: !!timestamp 2020-13-45", "a: 1\na: 2", "[" * 2000, "a: *b"):
        assert digest(text) is None
