import errno
import hashlib
import json
import os

import numpy as np
import pytest
from safetensors import safe_open

from ncrepro.lab.experiment import _measured
from ncrepro.store import artifacts

SPEC = {"recipe": {"epochs": 2}, "seed": 0}
ARRAYS = {"features": np.arange(6, dtype=np.float32).reshape(2, 3), "accuracy": np.array(71.25)}


def made(path, spec=SPEC):
    """The artefact at ``path``, and whether it had to be computed."""
    computed = []

    def compute():
        computed.append(True)
        return ARRAYS

    return artifacts.cached(path, spec, compute), bool(computed)


def test_what_was_saved_is_read_back_bit_for_bit(tmp_path):
    artifacts.save(tmp_path / "a.safetensors", ARRAYS, SPEC)
    loaded = artifacts.load(tmp_path / "a.safetensors", SPEC)
    assert loaded.keys() == ARRAYS.keys()
    for key in ARRAYS:
        np.testing.assert_array_equal(loaded[key], ARRAYS[key])
        assert loaded[key].dtype == ARRAYS[key].dtype


def test_what_is_no_array_is_the_record_and_comes_back_as_it_was_in_its_order(tmp_path):
    record = {"texts": ["zwölf", "", "a\nb"], "provenance": {"weights": "own", "accuracy": 71.25, "cut": None}}
    artifacts.save(tmp_path / "a.safetensors", ARRAYS | record, SPEC)
    loaded = artifacts.load(tmp_path / "a.safetensors", SPEC)
    assert loaded.keys() == ARRAYS.keys() | record.keys()
    assert {key: loaded[key] for key in record} == record
    assert list(loaded["provenance"]) == ["weights", "accuracy", "cut"]  # columns of a table follow it
    assert all(isinstance(loaded[key], np.ndarray) for key in ARRAYS)


def test_a_number_is_an_array_as_ever_and_stays_among_what_is_measured(tmp_path):
    artifacts.save(tmp_path / "a.safetensors", {"accuracy": 71.25, "n": np.int64(3), "from": "own"}, SPEC)
    loaded = artifacts.load(tmp_path / "a.safetensors", SPEC)
    assert _measured(loaded) == {"accuracy": 71.25, "n": 3.0}


def test_a_record_alone_is_an_artefact_and_a_changed_one_is_noticed(root):
    path = root / "a.safetensors"
    artifacts.save(path, {"errors": ["", "torn"]}, SPEC)
    assert artifacts.load(path, SPEC) == {"errors": ["", "torn"]} and artifacts.damaged([path]) == []
    path.write_bytes(path.read_bytes().replace(b"torn", b"worn"))
    assert artifacts.load(path, SPEC) is None and artifacts.damaged([path]) == [path]


def test_without_a_record_a_file_is_as_it_was_before_there_were_any(tmp_path):
    artifacts.save(tmp_path / "a.safetensors", ARRAYS, SPEC)
    with safe_open(tmp_path / "a.safetensors", framework="numpy") as file:
        header = file.metadata()
    hasher = hashlib.sha256(b"accuracy float64 ()" + ARRAYS["accuracy"].tobytes())
    hasher.update(b"features float32 (2, 3)" + ARRAYS["features"].tobytes())
    assert header == {"spec": json.dumps(SPEC, sort_keys=True), "sha256": hasher.hexdigest()}


def test_what_neither_an_array_nor_a_record_can_hold_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(TypeError, match="set is not JSON serializable"):
        artifacts.save(tmp_path / "a.safetensors", ARRAYS | {"classes": {"a", "b"}}, SPEC)
    assert not list(tmp_path.iterdir())


def test_an_artefact_is_computed_once(tmp_path):
    path = tmp_path / "a.safetensors"
    assert made(path)[1] is True
    assert made(path)[1] is False


def test_an_artefact_of_another_spec_is_computed_again(tmp_path):
    path = tmp_path / "a.safetensors"
    made(path)
    assert made(path, {**SPEC, "seed": 1})[1] is True


@pytest.mark.parametrize("kept", [0, 4, 40, -1])
def test_a_torn_artefact_is_computed_again(tmp_path, kept):
    path = tmp_path / "a.safetensors"
    made(path)
    path.write_bytes(path.read_bytes()[:kept])
    assert made(path)[1] is True


def test_one_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "a.safetensors"
    made(path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert artifacts.load(path, SPEC) is None


def test_a_full_disk_gives_one_clear_line_and_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*table.csv \(0.0 MB\): No space left on device"):
        artifacts.write(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]


def test_a_file_where_a_folder_should_be_is_one_clear_line_too(tmp_path):
    (tmp_path / "build").touch()
    with pytest.raises(OSError, match=r"cannot write .*rules.mk \(0.0 MB\): Not a directory"):
        artifacts.write(tmp_path / "build" / "smoke" / "rules.mk", "new")


def test_a_digest_depends_on_values_and_not_on_their_order():
    assert artifacts.digest({"a": 1, "b": 2}) == artifacts.digest({"b": 2, "a": 1})
    assert artifacts.digest({"a": 1, "b": 2}) != artifacts.digest({"a": 1, "b": 3})


def test_what_is_no_file_in_a_results_place_is_named_and_never_waited_for(tmp_path):
    (tmp_path / "folder.safetensors").mkdir()
    os.mkfifo(tmp_path / "pipe.safetensors")
    for name in ("folder.safetensors", "pipe.safetensors"):
        with pytest.raises(OSError, match=f"{name} is a folder or no plain file: remove it"):
            artifacts.load(tmp_path / name, {})
        with pytest.raises(OSError, match=f"{name} is a folder or no plain file: remove it"):
            artifacts.read_table(tmp_path / name, "smoke")
    with pytest.raises(OSError, match="cannot write .*folder.safetensors .*directory"):
        artifacts.save(tmp_path / "folder.safetensors", {}, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.safetensors", "pipe.safetensors"]
