"""`ncrepro rank` and `ncrepro score`: what they print, write and return, and where weights are looked for."""

import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from conftest import REPOSITORY

import ncrepro
from ncrepro.commands import cli, report
from ncrepro.extraction import networks
from ncrepro.store import paths


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Features of four models, the later the better, with labels and without, and the labels in a table."""
    monkeypatch.chdir(tmp_path)
    rng, y = np.random.default_rng(0), np.arange(60) % 3
    for i in range(4):
        H = rng.standard_normal((60, 8)) + 2 * i * rng.standard_normal((3, 8))[y]
        np.savez(f"model{i}.npz", features=H, labels=y)
        np.savez(f"bare{i}.npz", features=H)
    np.savez("spoilt.npz", features=np.where(np.arange(8) == 3, np.nan, H), labels=y)
    (tmp_path / "labels.csv").write_text("kind\n" + "".join(f"{'abc'[k]}\n" for k in y))
    return [f"model{i}.npz" for i in range(4)]


QUICK = ["--metrics", "logme", "h_score", "--n-bootstrap", "3", "--quiet"]


def test_the_table_is_best_first_and_the_cautions_are_below_it_once(files, capsys):
    assert cli.main(["rank", *files, *QUICK]) == 0
    streams = capsys.readouterr()
    lines = streams.out.splitlines()
    assert [line.split()[1] for line in lines[1:5]] == ["model3", "model2", "model1", "model0"]
    assert streams.out.count("caution: there are 4 models only") == 1 and lines.index("") == 5
    assert "\x1b" not in streams.out and streams.err == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_table_fits_the_terminal(files, width, monkeypatch):
    table = ncrepro.rank(files, metrics=["ncti", "logme", "sfda", "h_score", "gbc"], n_bootstrap=2, progress=False)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("NO_COLOR", "1")
    shown = Terminal()
    report.show(table, shown)
    lines = shown.getvalue().splitlines()
    assert max(map(len, lines)) <= width and "\x1b" not in shown.getvalue()
    assert {"#", "model", "total"} <= set(lines[0].split()) and "model3" in lines[1]
    assert ("gbc" in lines[0]) == (width >= 80)  # what there is no room for is said below
    assert width >= 80 or "gbc: in a wider terminal" in " ".join(shown.getvalue().split())


def test_colour_is_for_terminals_that_want_it(files, monkeypatch):
    table = ncrepro.rank(files, metrics="logme", n_bootstrap=0, progress=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for stream, coloured in ((Terminal(), True), (io.StringIO(), False)):
        report.show(table, stream)
        assert ("\x1b" in stream.getvalue()) == coloured


def test_json_and_csv_hold_the_whole_table_and_nothing_else_is_printed(files, capsys, tmp_path):
    assert cli.main(["rank", *files, *QUICK, "--json", "--csv", "table.csv"]) == 0
    output = capsys.readouterr().out
    table = report.from_json(output)
    assert table["model"].tolist() == ["model3", "model2", "model1", "model0"] and table.attrs["cautions"]
    assert report.as_json(table) == output
    assert (tmp_path / "table.csv").read_text() == report.as_csv(table)
    assert json.loads(output)["terms"]["model0"].keys() == {"logme", "h_score"}
    unknown = ncrepro.rank(files, metrics="logme", n_bootstrap=0, progress=False)
    assert json.loads(report.as_json(unknown))["ranking"][0]["low"] is None  # NaN is no JSON


def test_the_page_needs_nothing_beside_it_and_shows_what_is_given_as_text(files):
    features = {"<b>one</b>": np.eye(6, 3), "two & three": np.arange(18.0).reshape(6, 3) % 5}
    table = ncrepro.rank(features, metrics="h_score", labels=[0, 1] * 3, n_bootstrap=0, progress=False)
    page = report.as_html(table, "<script>", ["ncrepro", "rank", "<i>"])
    assert "&lt;b&gt;one" in page and "<b>" not in page and "<script" not in page and "<i>" not in page
    assert page.count("<svg") == 1 and not any(word in page for word in ("src=", "href=", "url(", "@import"))
    assert all(caution.replace(">", "&gt;") in page for caution in table.attrs["cautions"])


def test_a_device_that_results_are_written_to_stays_one(files, tmp_path, capsys):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert cli.main(["score", "model1.npz", "--metrics", "ncti", "--csv", str(pipe)]) == 0
    assert b"ncti_seli" in os.read(reading, 10_000) and pipe.is_fifo()
    os.close(reading)


def test_labels_of_any_number_that_hold_nothing_are_refused(tmp_path, capsys):
    path = tmp_path / "absurd.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, shape, dtype in (("features", (4, 2), "<f8"), ("labels", (10**12, 0), "<i8")):
            file = io.BytesIO()
            np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
            archive.writestr(f"{name}.npy", file.getvalue() + bytes(64 if name == "features" else 0))
    assert cli.main(["score", str(path)]) == 2
    assert "labels.npy claims (1000000000000, 0) numbers of type int64, which is not what is" in capsys.readouterr().err


def test_the_variables_of_a_makefile_that_asks_for_a_ranking_are_its_own(files, monkeypatch, capsys):
    monkeypatch.setenv("MAKEFLAGS", " -- OUT=elsewhere MODELS=resnet18 IMAGES=photos")
    assert cli.main(["rank", *files, *QUICK]) == 0
    assert "model3" in capsys.readouterr().out


def test_scores_need_one_model_only_and_take_labels_from_a_table(files, capsys):
    assert cli.main(["score", "bare1.npz", "--labels", "labels.csv", "--label-column", "kind", "--json"]) == 0
    mine = json.loads(capsys.readouterr().out)["scores"]["bare1"]
    assert cli.main(["score", "model1.npz", "--json"]) == 0
    assert mine == json.loads(capsys.readouterr().out)["scores"]["model1"]
    arrays = np.load("model1.npz")
    assert mine == pytest.approx(ncrepro.metrics.all_scores(arrays["features"], arrays["labels"]))
    assert cli.main(["score", *files, "--metrics", "ncti"]) == 0
    assert "ncti_log_vc" in (output := capsys.readouterr().out) and output.count("lower") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["rank"], 2, "0 data sets are named"),
        (["rank", "model0.npz", "photos"], 2, "2 data sets are named (model0.npz, photos)"),
        (["rank", "nowhere", "--models", "resnet18", "vgg11"], 2, "there is no folder nowhere"),
        (["rank", "model0.npz", "model1.npz", "--metrics", "logmee"], 2, "did you mean 'logme'"),
        (["rank", "model0.npz", "model1.npz", "--n-bootstrap", "1"], 2, "n_bootstrap is 1"),
        (["rank", "model0.npz", "model1.npz", "--json", "--csv"], 2, "standard output takes one of"),
        (["rank", "model0.npz", "model1.npz", "--out", "here"], 2, "add --notebook"),
        (["rank", "model0.npz", "model1.npz", "--quiet", "--csv", "labels.csv/x.csv"], 1, "labels.csv"),
        (["score", "bare0.npz"], 2, "labels are missing"),
        (["score", "bare0.npz", "--labels", "labels.csv"], 2, "choose one of kind"),
        (["score", "model0.npz", "--metrics", "leep"], 2, "leep needs source_probs"),
        (["score", "spoilt.npz", "--metrics", "logme"], 2, "spoilt: features contain nan"),
        (["rank", "model0.npz", "model1.npz", "--csv", "."], 2, "--csv is ., which is a folder; name a file"),
        (
            ["rank", "model0.npz", "model1.npz", "--csv", "model2.npz"],
            2,
            "--csv is model2.npz, which is a file to read",
        ),
        (["rank", "x.csv", "--models", "a=b:w.pth", "c", "--json", "./w.pth"], 2, "./w.pth, which is a file to read"),
        (["score", "bare0.npz", "--labels", "labels.csv", "--csv", "./labels.csv"], 2, "which is a file to read"),
        (["score", "model0.npz", "--csv", "both", "--json", "both"], 2, "--json and --csv are both both: name two"),
        (["score", "model0.npz", "--max-per-class", "5", "--seed", "-1"], 2, "seed is -1; it must be at least 0"),
        (["score", "bare0.npz", "--labels", "labels.tsv"], 2, "there is no file labels.tsv"),
        (["score", "bare0.npz", "--labels", "bare1.npz"], 2, "bare1.npz is no table of a known kind; allowed are .csv"),
    ],
)
def test_a_mistake_is_one_sentence_and_its_kind_the_exit_status(arguments, status, message, files, capsys):
    assert cli.main(arguments) == status
    shown = capsys.readouterr()
    assert message in shown.err and shown.err.startswith("error: ") and shown.err.count("\n") == 1


def test_a_score_that_is_no_number_is_not_printed(files, monkeypatch, capsys):
    monkeypatch.setattr(ncrepro.metrics, "logme", lambda *_: float("nan"))
    assert cli.main(["score", *files, "--metrics", "h_score", "logme"]) == 2
    assert "logme of model0 is nan: it cannot be computed from these features" in capsys.readouterr().err


def test_no_file_of_features_is_written_over(files, tmp_path, capsys):
    before = (tmp_path / "model1.npz").read_bytes()
    assert cli.main(["score", "model0.npz", "--json", "model1.npz"]) == 2  # meant as data, and read as a place
    assert (tmp_path / "model1.npz").read_bytes() == before


def test_scores_that_one_model_lacks_are_no_part_of_its_json(files, capsys):
    arrays = dict(np.load("model1.npz"))
    np.savez("probs.npz", **arrays, source_probs=np.full((60, 2), 0.5))
    assert cli.main(["score", "model0.npz", "probs.npz", "--json"]) == 0
    scores = json.loads(output := capsys.readouterr().out)["scores"]
    assert "NaN" not in output and scores["probs"].keys() - scores["model0"].keys() == {"leep", "nce"}


def test_what_a_metric_warns_of_is_a_caution_beside_the_scores(files, capsys):
    H = np.random.default_rng(0).standard_normal((12, 20))
    np.savez("wide.npz", features=H, labels=np.arange(12) % 3)
    assert cli.main(["score", "wide.npz", "--metrics", "h_score", "--json"]) == 0
    streams = capsys.readouterr()
    assert json.loads(streams.out)["scores"].keys() == {"wide"}
    assert streams.err.startswith("caution: wide: h_score of no more samples") and streams.err.count("\n") == 1


def test_any_name_of_a_file_can_be_printed_and_written(files, tmp_path):
    for name in (b"m\xe9l.npz", "\u6a21\u578b.npz".encode(), b"two\nlines.npz"):
        os.link("model1.npz", os.fsdecode(name))
    names = ["model0.npz", os.fsdecode(b"m\xe9l.npz"), "\u6a21\u578b.npz", "two\nlines.npz"]
    table = ncrepro.rank(names, metrics="logme", n_bootstrap=2, progress=False)
    for text, name in ((report.as_json(table), "j"), (report.as_csv(table), "c"), (report.as_html(table, "t"), "h")):
        report.write_or_print(text, tmp_path / name)
        assert r"m\udce9l" in (tmp_path / name).read_text()
    assert report.from_json(report.as_json(table))["model"].tolist() == table["model"].tolist()
    process = subprocess.run(
        [sys.executable, "-m", "ncrepro", "rank", *names, *QUICK],
        capture_output=True, env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert process.returncode == 0 and rb"two\nlines" in process.stdout and rb"\u6a21\u578b" in process.stdout


def test_a_reader_that_has_read_enough_is_no_error(files):
    command = [sys.executable, "-m", "ncrepro", "score", *files, "--metrics", "logme", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=os.environ | {"PYTHONPATH": str(REPOSITORY)}) as running:  # fmt: skip
        running.stdout.close()
        assert running.stderr.read() == b"" and running.wait() == 1


@pytest.mark.parametrize(
    ("command", "closed"),
    [
        (("rank", "--html", "page.html"), "<&- >&- 2>&-"),
        (("rank", "--json"), ">&-"),
        (("score", "--json"), ">&-"),
        (("score", "--json"), "2>&-"),
        (("score", "--json"), "<&- >&- 2>&-"),
    ],
)
def test_closed_output_is_no_error(command, closed, files):
    typed = [sys.executable, "-m", "ncrepro", *command[:1], *files, "--metrics", "logme", *command[1:]]
    process = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *typed],
                         capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(REPOSITORY)})  # fmt: skip
    assert process.returncode == 0 and "Traceback" not in process.stderr
    assert "page.html" not in command or os.path.getsize("page.html") > 1000


def test_a_terminal_that_says_it_has_no_columns_shows_the_table(files, monkeypatch):
    table = ncrepro.rank(files, metrics="logme", n_bootstrap=0, progress=False)
    for columns in ("0", "3"):
        monkeypatch.setenv("COLUMNS", columns)
        shown = Terminal()
        report.show(table, shown)
        assert "model3" in shown.getvalue()


def test_resamples_may_be_none(files, capsys):
    assert cli.main(["rank", *files, "--metrics", "logme", "--n-bootstrap", "0", "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ranking"][0]["low"] is None


# Where things lie -----------------------------------------------------------------------------------------------------


def test_caches_lie_in_the_checkout_or_where_the_reader_or_the_system_says(tmp_path, monkeypatch):
    for name in ("NCREPRO_CACHE", "NCREPRO_ROOT", "NCREPRO_DATA"):
        monkeypatch.delenv(name, raising=False)
    assert paths.cache("rank") == REPOSITORY / "data" / "cache" / "rank"
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path / "site-packages")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("HOME", str(tmp_path))
    place = paths.cache("rank")
    assert place.parent.name == "ncrepro" and "site-packages" not in place.parts and place.is_relative_to(tmp_path)
    assert paths.downloads().parent == place.parent
    monkeypatch.setenv("NCREPRO_CACHE", "~/elsewhere")
    assert paths.cache("rank") == tmp_path / "elsewhere" / "rank"


@pytest.mark.parametrize("links", [True, False])
def test_weights_of_timm_are_found_where_hugging_face_keeps_them(links, root, monkeypatch):
    timm, hub = pytest.importorskip("timm"), pytest.importorskip("huggingface_hub")
    name = "timm/vit_tiny_patch16_224.augreg_in21k_ft_in1k"
    repository = timm.get_pretrained_cfg(name.removeprefix("timm/")).hf_hub_id
    assert not networks.checkpoint(name).present
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(root / "hub"))
    folder = root / "hub" / f"models--{repository.replace('/', '--')}"
    file, blob = folder / "snapshots" / "1" / "model.safetensors", folder / "blobs" / ("0123456789abcdef" * 4)
    for place in (file, blob, folder / "refs" / "main"):
        place.parent.mkdir(parents=True)
    (folder / "refs" / "main").write_text("1")
    if links:
        blob.write_bytes(b"weights")
        file.symlink_to(blob)
    else:  # as on a system without links
        file.write_bytes(b"weights")
    found = networks.checkpoint(name)
    assert found.present and found.file == (blob if links else file).resolve()
    assert found.sha256 == (blob.name if links else "")
