"""The text pool: its corpora, its networks and objectives against literal evaluations, and CLUE's layout on disk."""

import json
import math
import os
import socket
import subprocess
import sys
from functools import cache

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from transformers import BertConfig, BertModel

from ncrepro import ranking
from ncrepro.commands import cli as pipeline
from ncrepro.extraction import last_layer
from ncrepro.extraction.samples import Texts
from ncrepro.figures import data_examples, index
from ncrepro.figures import text as figures
from ncrepro.lab import experiment, profiles
from ncrepro.lab.datasets import clue, docstrings
from ncrepro.lab.models import text as models
from ncrepro.lab.tasks import text

matplotlib.use("agg")

RECIPE = {"epochs": 2, "batch_size": 16, "learning_rate": 3e-3}
collected = cache(docstrings.collect)
part = cache(docstrings.split_of)

DOCSTRING = """Fit a line.

It is straight.

Parameters
----------
x, y : array_like, shape (n,)
    Where the line is to go through,
    more or less.
robust : bool, optional
    Whether outliers count less.
method : {'svd', 'qr'}
    How it is done.

Returns
-------
slope : float
    The slope.

Examples
--------
>>> fit([0, 1], [0, 2])
2.0
Twice as steep.
"""


# Corpora --------------------------------------------------------------------------------------------------------------


def test_a_docstring_falls_into_its_sections():
    found = docstrings.sections(DOCSTRING)
    assert [name for name, _ in found] == ["Summary", "Parameters", "Returns", "Examples"]
    assert found[0][1].startswith("Fit a line.") and found[2][1].startswith("slope : float")


def test_a_section_falls_into_its_entries():
    parameters = docstrings.sections(DOCSTRING)[1][1]
    found = [(written, description.strip()) for written, description in docstrings.entries(parameters)]
    assert found == [
        ("array_like, shape (n,)", "Where the line is to go through, more or less."),
        ("bool, optional", "Whether outliers count less."),
        ("{'svd', 'qr'}", "How it is done."),
    ]


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("bool, optional", "bool"), ("{True, False}", "bool"), ("int", "int"), ("non-negative integer", "int"),
        ("array_like", "array"), ("{array-like, sparse matrix}", "array"), ("ndarray of shape (n,)", "array"),
        ("1-D array", "array"), ("numpy.ndarray", "array"), ("float array_like", "array"), ("float or None", "float"),
        ("str", "string"), ("{'a', 'b'}", "choice"), ("callable", "function"), ("dict of str", "dictionary"),
        ("tuple of ints", "sequence"), ("Estimator", None), ("", None),
    ],
)  # fmt: skip
def test_types_are_read_from_how_docstrings_write_them(written, kind):
    assert docstrings.value_type(written) == kind


def test_plain_text_has_no_examples_or_mark_up():
    assert docstrings.plain_text(docstrings.sections(DOCSTRING)[3][1]) == "2.0 Twice as steep."
    assert docstrings.plain_text("A `b`\n\n   c = *d*") == "A b c d"


@pytest.mark.parametrize("name", docstrings.NAMES)
def test_every_text_occurs_once_and_has_words(name):
    texts = [text for of_class in collected(name).values() for text in of_class]
    assert len(set(texts)) == len(texts)
    assert min(len(text.split()) for text in texts) >= 4


@pytest.mark.parametrize("name", docstrings.NAMES)
def test_splits_share_no_text_and_hold_what_the_corpus_says(name):
    train, test = part(name, "train"), part(name, "test")
    corpus = docstrings.CORPORA[name]
    assert not set(train.texts) & set(test.texts)
    assert train.classes == test.classes and train.n_classes == len(collected(name))
    assert set(np.bincount(test.labels)) == {corpus.n_test}
    assert np.bincount(train.labels).max() <= corpus.n_train and np.bincount(train.labels).min() > 0
    of_class = [collected(name)[train.classes[k]] for k in train.labels[:50]]
    assert all(text in texts for text, texts in zip(train.texts[:50], of_class, strict=True))


def test_no_text_of_the_target_is_in_a_source():
    target = {text for texts in collected(docstrings.TARGET).values() for text in texts}
    for name in docstrings.SOURCES:
        assert not target & {text for texts in collected(name).values() for text in texts}


def test_the_target_has_as_many_texts_of_each_class():
    assert set(np.bincount(part(docstrings.TARGET, "train").labels)) == {20}


def test_texts_are_the_same_in_another_process_and_hash_seed():
    program = "from ncrepro.lab.datasets import docstrings; print(docstrings.split_of('sections_numpy', 'test').texts)"
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = os.environ | {"PYTHONHASHSEED": "12345", "PYTHONPATH": root}
    printed = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.strip() == str(part("sections_numpy", "test").texts)


def test_the_cache_gives_back_what_was_read(root):
    docstrings.load.cache_clear()
    first = docstrings.load("sections_numpy", "train")
    docstrings.load.cache_clear()
    again, fresh = docstrings.load("sections_numpy", "train"), part("sections_numpy", "train")
    assert first.texts == again.texts == fresh.texts and first.classes == again.classes == fresh.classes
    np.testing.assert_array_equal(again.labels, fresh.labels)
    docstrings.load.cache_clear()


def test_limited_keeps_the_first_of_each_class_in_their_order():
    data = Texts("t", "train", tuple("abcdef"), np.array([1, 0, 1, 1, 0, 0]), ("no", "yes"))
    assert data.limited(2).texts == ("a", "b", "c", "e")
    np.testing.assert_array_equal(data.limited(2).labels, [1, 0, 1, 0])


@pytest.mark.parametrize("module", [docstrings, clue])
def test_unknown_names_and_splits_are_refused(module):
    with pytest.raises(ValueError, match="unknown data set 'nothing_like_it': choose one of"):
        module.load("nothing_like_it", "train")
    with pytest.raises(ValueError, match="unknown split 'val'"):
        module.load(module.NAMES[0], "val")


# Networks -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def tokens():
    """Four texts of unequal length as tokens, without a tokenizer."""
    rows = torch.randint(3, models.VOCABULARY, (4, 12), generator=torch.Generator().manual_seed(0))
    rows[:, 0] = models.START
    for row, length in zip(rows, (12, 9, 5, 2), strict=True):
        row[length:] = models.PADDING
    return rows


def test_codes_of_relative_positions_are_the_sinusoids_of_the_paper():
    codes = models.relative_positions(5, 6)
    for i in range(5):
        for j in range(5):
            for k in range(3):
                angle = (j - i) / 10000 ** (2 * k / 6)
                assert codes[i, j, 2 * k].item() == pytest.approx(math.sin(angle), abs=1e-6)
                assert codes[i, j, 2 * k + 1].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_distances_beyond_the_furthest_have_the_same_code():
    codes = models.relative_positions(10, 4, furthest=3)
    assert torch.equal(codes[0, 3], codes[0, 9]) and not torch.equal(codes[0, 2], codes[0, 3])


@torch.no_grad()
def test_relative_attention_is_what_its_formula_says():
    config = BertConfig(hidden_size=8, num_attention_heads=2, attention_probs_dropout_prob=0.0)
    torch.manual_seed(0)
    replaced = BertModel(config, add_pooling_layer=False).encoder.layer[0].attention.self
    attention = models.RelativeSelfAttention(replaced, longest=6)
    hidden = torch.randn(1, 5, 8)
    hides = torch.zeros(1, 1, 5, 5)
    hides[..., 4] = -1e9  # the last token is padding
    found, _ = attention(hidden, hides)
    q, k, v = (layer(hidden)[0].view(5, 2, 4) for layer in (replaced.query, replaced.key, replaced.value))
    a = models.relative_positions(6, 4)
    for head in range(2):
        for i in range(5):
            e = torch.tensor([q[i, head] @ (k[j, head] + a[i, j]) / math.sqrt(4) for j in range(4)]).softmax(0)
            z = sum(e[j] * (v[j, head] + a[i, j]) for j in range(4))
            torch.testing.assert_close(found[0, i, 4 * head : 4 * head + 4], z, atol=1e-5, rtol=1e-4)


def test_nezha_knows_no_absolute_positions_and_roberta_does():
    nezha, roberta = (models.build(name, 3, seed=0).eval() for name in ("nezha", "roberta"))
    assert not nezha.encoder.embeddings.position_embeddings.weight.any()
    assert not nezha.encoder.embeddings.position_embeddings.weight.requires_grad
    ends = [list(network.encoder.encoder.layer[0].attention.self.children()) for network in (nezha, roberta)]
    assert len(ends[0]) == len(ends[1]) == 4  # query, key, value, dropout: no further weights
    swapped = torch.tensor([[models.START, 7, 8, 9], [models.START, 9, 8, 7]])
    for network in (nezha, roberta):  # both tell orders apart
        first, second = network.features(swapped)
        assert not torch.allclose(first, second, atol=1e-4)


@pytest.mark.parametrize("name", ["nezha", "roberta", "roberta_highway"])
def test_padding_does_not_change_a_text(name, tokens):
    network = models.build(name, 3, seed=0).eval()
    with torch.no_grad():
        alone = torch.cat([network.features(row[row != models.PADDING][None]) for row in tokens])
        torch.testing.assert_close(network.features(tokens), alone, atol=1e-5, rtol=1e-4)


def test_the_feature_of_a_text_is_the_mean_of_its_hidden_states(tokens):
    network = models.build("roberta", 3, seed=0).eval()
    with torch.no_grad():
        hidden = network.encoder(input_ids=tokens, attention_mask=(tokens > 0).long()).last_hidden_state
        found = network.features(tokens)
        assert found.shape == (4, 64)
        torch.testing.assert_close(found[2], hidden[2, :5].mean(0))
        torch.testing.assert_close(network(tokens), network.classifier(found))


def test_a_highway_mixes_its_input_with_a_change_of_it():
    torch.manual_seed(0)
    highway, x = models.Highway(3), torch.randn(2, 3)
    t = 1 / (1 + torch.exp(-(x @ highway.gate.weight.T + highway.gate.bias)))
    h = torch.tanh(x @ highway.change.weight.T + highway.change.bias)
    torch.testing.assert_close(highway(x), t * h + (1 - t) * x)
    nn.init.constant_(highway.gate.bias, -1e3)
    torch.testing.assert_close(highway(x), x)  # a closed gate lets all of it through


def test_only_the_highway_adds_weights():
    sizes = {name: sum(p.numel() for p in models.build(name, 3, seed=0).parameters()) for name in models._SIX}
    assert sizes["roberta_highway"] - sizes["roberta"] == 2 * (64 * 64 + 64)
    assert len({size for name, size in sizes.items() if name != "roberta_highway"}) == 1


def test_the_seed_draws_the_weights_and_the_global_random_state_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (models.build("roberta", 3, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)


def test_a_new_classifier_leaves_all_other_weights():
    network = models.build("roberta_highway", 3, seed=0)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    last_layer.replace(network, 8, seed=0)
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize(
    ("name", "n_classes", "message"), [("robert", 3, "unknown model 'robert'"), ("nezha", 1, "n_classes is 1; allowed")]
)
def test_what_cannot_be_built_is_refused(name, n_classes, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, n_classes, seed=0)


# Objectives -----------------------------------------------------------------------------------------------------------


class Fixed(nn.Module):
    """Gives the same logits whatever it is asked: (2 x n) rows in turn, as r_drop asks for them."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, tokens):
        return self.logits[: len(tokens)]


LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.3, -0.2], [1.0, 0.0, -1.0], [-0.4, 0.9, 0.2]])
LABELS = torch.tensor([0, 2])
TWO = torch.zeros(2, 4, dtype=torch.int64)


def test_r_drop_is_what_its_formula_says():
    p, q = LOGITS[:2].softmax(1), LOGITS[2:].softmax(1)
    expected = 0.0
    for i in range(2):
        p_to_q = sum(p[i, k] * math.log(p[i, k] / q[i, k]) for k in range(3))
        q_to_p = sum(q[i, k] * math.log(q[i, k] / p[i, k]) for k in range(3))
        expected += (-math.log(p[i, LABELS[i]]) - math.log(q[i, LABELS[i]]) + 0.7 / 2 * (p_to_q + q_to_p)) / 2
    assert text.r_drop(Fixed(LOGITS), TWO, LABELS, alpha=0.7).item() == pytest.approx(float(expected), rel=1e-5)


def test_r_drop_of_two_equal_passes_is_twice_the_cross_entropy():
    twice = Fixed(torch.cat([LOGITS[:2], LOGITS[:2]]))
    assert text.r_drop(twice, TWO, LABELS).item() == pytest.approx(2 * F.cross_entropy(LOGITS[:2], LABELS).item())


def test_r_drop_passes_each_text_through_two_dropouts(tokens):
    network = models.build("roberta_rdrop", 3, seed=0).train()
    first, second = network(torch.cat([tokens, tokens])).chunk(2)
    assert not torch.allclose(first, second)


def test_poly_is_what_its_formula_says():
    p = LOGITS[:2].softmax(1)
    expected = sum(-math.log(p[i, y]) + 1.5 * (1 - p[i, y]) for i, y in enumerate(LABELS)) / 2
    assert text.poly(Fixed(LOGITS), TWO, LABELS, epsilon=1.5).item() == pytest.approx(float(expected), rel=1e-5)


def test_poly_without_its_term_is_the_cross_entropy():
    found = text.poly(Fixed(LOGITS), TWO, LABELS, epsilon=0)
    assert found.item() == pytest.approx(F.cross_entropy(LOGITS[:2], LABELS).item())


def test_multi_sample_dropout_is_the_mean_over_its_dropouts(tokens):
    network = models.build("roberta_multidrop", 3, seed=0)
    for module in network.encoder.modules():
        module.eval()
    network.training = True  # dropout of the features alone
    labels = torch.tensor([0, 1, 2, 0])
    features = network.features(tokens)
    torch.manual_seed(3)
    kept = [F.dropout(torch.ones(4, 64), 0.5) for _ in range(5)]  # 0 or 2
    expected = sum(F.cross_entropy(network.classifier(features * mask), labels) for mask in kept) / 5
    torch.manual_seed(3)
    assert text.multi_sample_dropout(network, tokens, labels).item() == pytest.approx(expected.item(), rel=1e-5)


def test_multi_sample_dropout_that_drops_nothing_is_the_cross_entropy(tokens):
    network = models.build("roberta_multidrop", 3, seed=0).eval()
    labels = torch.tensor([0, 1, 2, 0])
    found = text.multi_sample_dropout(network, tokens, labels)
    assert found.item() == pytest.approx(text.cross_entropy(network, tokens, labels).item(), rel=1e-5)


def test_every_variant_names_an_objective():
    assert {variant.objective for variant in models.ARCHITECTURES.values()} == set(text.OBJECTIVES)


# Training -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch):
    """Few real texts, and a tokenizer trained on them, without a cache on disk."""
    monkeypatch.setattr(docstrings, "load", lambda name, split: part(name, split).limited(6))
    read = part("sections_numpy", "train").texts
    monkeypatch.setattr(models, "tokenizer", cache(lambda: models.train_tokenizer(read)))


def spec(architecture="roberta", source="sections_numpy"):
    return {"architecture": architecture, "source": source, "max_per_class": None, "recipe": RECIPE, "seed": 0}


def on_target(seed=0):
    return {"target": "parameters_scipy", "max_per_class": None, "recipe": RECIPE, "seed": seed}


def test_a_tokenizer_trained_twice_is_the_same_and_knows_its_special_tokens():
    texts = part("sections_numpy", "train").texts[:300]
    first, second = models.train_tokenizer(texts), models.train_tokenizer(texts)
    assert first.to_str() == second.to_str()
    assert [first.token_to_id(name) for name in ("[PAD]", "[UNK]", "[CLS]")] == [0, 1, 2]
    assert first.encode("Return the ARRAY").ids == first.encode("return the array").ids


def test_texts_are_cut_or_filled_to_their_length(small):
    rows = models.tokenize("roberta", ["an array", "an array " * 50])
    assert rows.shape == (2, 40) and rows[:, 0].tolist() == [models.START] * 2
    assert (rows[0] != models.PADDING).sum() < 10 and (rows[1] != models.PADDING).all()


@pytest.mark.parametrize("name", models._SIX)
def test_every_variant_learns_and_is_the_same_twice(name, small):
    data, states = docstrings.load("sections_numpy", "train"), []
    for _ in range(2):
        network = models.build(name, data.n_classes, seed=0)
        history = text.fit(network, data, text.Recipe(**RECIPE | {"epochs": 8}), seed=0)
        states.append(network.state_dict())
    assert history[-1] < 0.9 * history[0]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("name", ["nezha", "roberta_highway"])
def test_a_pretrained_network_comes_back_as_it_was(name, small):
    arrays = text.pretrain(spec(name))
    assert arrays["n_classes"] == 7 and arrays["n_features"] == 64 and 0 <= arrays["accuracy"] <= 100
    network = text.restore(spec(name), arrays)
    assert text.evaluate(network, docstrings.load("sections_numpy", "test"))["accuracy"] == arrays["accuracy"]


def test_what_the_metrics_see_are_the_inputs_of_the_classifier(small):
    arrays = text.pretrain(spec())
    found = text.extract({"target": "parameters_scipy", "split": "train", "max_per_class": None}, spec(), arrays)
    data = docstrings.load("parameters_scipy", "train")
    assert found["features"].shape == (len(data), 64) and found["source_probs"].shape == (len(data), 7)
    np.testing.assert_array_equal(found["labels"], data.labels)
    logits = found["features"] @ arrays["weights.classifier.weight"].T + arrays["weights.classifier.bias"]
    np.testing.assert_allclose(found["source_probs"], torch.from_numpy(logits).softmax(1), atol=1e-5)


def test_fine_tuning_depends_on_its_seed_alone(small):
    pretrained = text.pretrain(spec(source="nothing"))
    first, again, other = (text.finetune(on_target(seed), spec(source="nothing"), pretrained) for seed in (0, 0, 1))
    assert first["accuracy"] == again["accuracy"] and not np.array_equal(first["loss"], other["loss"])


def test_the_source_nothing_keeps_the_first_weights(small):
    arrays = text.pretrain(spec(source="nothing"))
    untouched = models.build("roberta", 2, seed=0).state_dict()
    assert all(np.array_equal(arrays["weights." + key], value.numpy()) for key, value in untouched.items())
    assert np.isnan(arrays["accuracy"])


def test_nothing_of_the_demo_asks_the_network(small, monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in models._SIX:
        arrays = text.pretrain(spec(name))
        text.finetune(on_target(), spec(name), arrays)
        text.extract({"target": "parameters_scipy", "split": "train", "max_per_class": None}, spec(name), arrays)


# What the notebook says of them ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["text", "text_scratch"])
def test_other_versions_of_the_packages_that_are_read_ask_for_other_results(pool, root, monkeypatch):
    def keys():
        steps = experiment.Experiment(pool, "smoke").jobs()
        return {step: {job.path.name for *_, job in made} for step, made in steps.items()}

    before = keys()
    assert keys() == before
    monkeypatch.setattr(docstrings, "content", lambda name: {"scipy": "another"})
    after = keys()
    for step in ("finetune", "extract", "score"):
        assert not before[step] & after[step]
    assert bool(before["pretrain"] & after["pretrain"]) == (pool == "text_scratch")  # which reads no text


def test_gains_are_points_over_the_same_variant_from_random_weights(root):
    study, scratch = (experiment.Experiment(pool, "smoke") for pool in ("text", "text_scratch"))
    after = [(m.name, k, 50.0 + 10 * i + k) for i, m in enumerate(study.pool.models) for k in (0, 1)]
    before = [(m.name, k, 40.0 + i + k) for i, m in enumerate(scratch.pool.models) for k in (0, 1)]
    for of, rows in ((study, after), (scratch, before)):
        of.write("accuracies", pd.DataFrame(rows, columns=["model", "seed", "accuracy"]))
    found = figures.gains("smoke")
    assert list(found.columns) == list(study.pool.sources)
    for i, model in enumerate(study.pool.models):
        expected = (50 + 10 * i + 0.5) - (40 + scratch.pool.architectures.index(model.architecture) + 0.5)
        assert found.loc[model.architecture, model.source] == pytest.approx(expected)


def test_each_source_is_ranked_on_its_own_variants_alone(root):
    study = experiment.Experiment("text", "smoke")
    names = [model.name for model in study.pool.models]
    values = dict(zip(names, np.random.default_rng(0).permutation(len(names)).astype(float), strict=True))
    on = {"target": "parameters_scipy"}
    study.write("accuracies", [{"model": m, **on, "seed": 0, "accuracy": values[m]} for m in names])
    study.write("pretraining", [{"model": m, "source_accuracy": -values[m], "n_parameters": values[m]} for m in names])
    total = {"metric": "logme", "term": "total"}
    scores = {m: values[m] if "sklearn" in m else -values[m] for m in names}
    study.write("scores", [{"model": m, **on, **total, "score": scores[m]} for m in names])
    figures.judge("smoke")
    found = figures.judgements("smoke").pivot(index="metric", columns="target", values="weighted_kendall")
    assert list(found.columns) == ["parameters_sklearn", "sections_numpy"]
    assert found.loc["logme"].tolist() == pytest.approx([1, -1])
    assert found.loc["source_accuracy"].tolist() == pytest.approx([-1, -1])


def test_every_text_of_the_table_is_drawn_beside_its_class():
    rows = [("first", "int", "How many."), ("first", "bool", "Whether."), ("second", "Notes", "So it is.")]
    first = Texts("first", "train", ("How many.", "Whether."), np.array([0, 1]), ("int", "bool"))
    second = Texts("second", "train", ("So it is.",), np.array([0]), ("Notes",))
    artists = data_examples.texts([first, second], "title").axes[0].texts
    lines = ["first", "int", "How many.", "bool", "Whether.", "second", "Notes", "So it is."]
    assert [found.get_text() for found in artists] == lines
    heights = {found.get_text(): found.get_position()[1] for found in artists}
    assert all(heights[label] == heights[sentence] for _, label, sentence in rows)


def test_words_alone_tell_classes_apart_that_differ_in_their_words(monkeypatch):
    sentences = ("how many", "whether it", "how often", "whether they")
    data = Texts("t", "train", sentences, np.array([0, 1, 0, 1]), ("a", "b"))
    monkeypatch.setattr(text, "load", lambda *_: data)
    assert figures.bag_of_words("smoke") == 100.0


# The paper's data and checkpoints on disk -----------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("NCREPRO_DATA", str(tmp_path))
    clue.load.cache_clear()
    yield tmp_path
    clue.load.cache_clear()


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def test_iflytek_is_read_from_clues_json_lines(place):
    folder = place / "iflytek_public"
    write_lines(folder / "labels.json", [{"label": str(k), "label_des": f"应用{k}"} for k in (10, 2, 0)])
    rows = [{"label": "10", "label_des": "应用10", "sentence": "一个应用"}]
    rows += [{"label": "0", "label_des": "应用0", "sentence": "打车"}]
    write_lines(folder / "train.json", rows)
    write_lines(folder / "dev.json", rows[:1])
    train, test = (clue.load("iflytek", split) for split in ("train", "test"))
    assert train.classes == ("应用0", "应用2", "应用10")  # by number, not by the alphabet
    assert train.texts == ("一个应用", "打车") and train.labels.tolist() == [2, 0]
    assert (test.name, test.split, len(test)) == ("iflytek", "test", 1)


def test_tnews_is_read_from_clues_json_lines(place):
    folder = place / "tnews_public"
    names = {"100": "news_story", "102": "news_culture"}
    write_lines(folder / "labels.json", [{"label": label, "label_desc": name} for label, name in names.items()])
    row = {"label": "102", "label_desc": "news_culture", "sentence": "上课时学生", "keywords": "a,b"}
    write_lines(folder / "train.json", [row])
    assert clue.load("tnews", "train").labels.tolist() == [1]


def test_a_label_that_is_not_listed_is_named_with_its_line(place):
    folder = place / "tnews_public"
    write_lines(folder / "labels.json", [{"label": "100", "label_desc": "news_story"}])
    write_lines(folder / "train.json", [{"label": "100", "sentence": "a"}, {"label": "105", "sentence": "b"}])
    with pytest.raises(ValueError, match="tnews, train.json, line 2: label '105' is not in labels.json"):
        clue.load("tnews", "train")


@pytest.mark.parametrize("name", clue.NAMES)
def test_what_is_not_there_is_answered_with_where_to_get_it(name, place):
    with pytest.raises(FileNotFoundError) as refused:
        clue.load(name, "train")
    assert all(word in str(refused.value) for word in (name, clue.FOLDERS[name], str(place), clue.URL, "NCREPRO_DATA"))


def checkpoint(folder, prefix, **changed):
    """A small BERT in ``folder``, its weights named with ``prefix``."""
    config = BertConfig(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    torch.manual_seed(0)
    encoder = BertModel(config, add_pooling_layer=False)
    config.save_pretrained(folder)
    weights = {prefix + key: value.contiguous() for key, value in encoder.state_dict().items()}
    weights = {key.replace("LayerNorm.weight", "LayerNorm.gamma"): value for key, value in weights.items()}
    kept = {key: value for key, value in weights.items() if changed.get("without", "?") not in key}
    save_file(kept, folder / "model.safetensors")
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n打\n车", encoding="utf-8")
    return encoder.eval()


@pytest.mark.parametrize("prefix", ["", "bert.", "nezha."])
def test_a_checkpoint_is_read_whatever_stands_before_its_names(prefix, tmp_path):
    written = checkpoint(tmp_path, prefix).state_dict()
    read = models.from_checkpoint(str(tmp_path)).state_dict()
    assert written.keys() == read.keys() and all(torch.equal(written[key], read[key]) for key in written)


def test_a_checkpoint_from_before_safetensors_is_read_too(tmp_path):
    written = checkpoint(tmp_path, "bert.").state_dict()
    (tmp_path / "model.safetensors").unlink()
    torch.save({"bert." + key: value for key, value in written.items()}, tmp_path / "pytorch_model.bin")
    read = models.from_checkpoint(str(tmp_path)).state_dict()
    assert all(torch.equal(written[key], read[key]) for key in written)


def test_a_checkpoint_that_lacks_weights_is_refused(tmp_path):
    checkpoint(tmp_path, "bert.", without="attention.self.query")
    with pytest.raises(ValueError, match="2 weights are missing, encoder.layer.0.attention.self.query.weight"):
        models.from_checkpoint(str(tmp_path))


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(OSError):
        models.from_checkpoint(str(tmp_path))


def test_a_network_is_fine_tuned_from_a_checkpoint(tmp_path, monkeypatch):
    checkpoint(tmp_path, "nezha.", without="position_embeddings")
    variant = models.ARCHITECTURES["chinese_nezha"]._replace(checkpoint=str(tmp_path))
    monkeypatch.setitem(models.ARCHITECTURES, "chinese_nezha", variant)
    texts, labels = ("打车", "车打车打", "打", "车") * 4, np.array([0, 1, 0, 1] * 4)
    data = Texts("t", "train", texts, labels, ("a", "b"))
    assert models.tokenize("chinese_nezha", data.texts).shape == (16, 128)
    network = models.build("chinese_nezha", 2, seed=0)
    history = text.fit(network, data, text.Recipe(epochs=2, batch_size=4, learning_rate=1e-3), seed=0)
    assert np.isfinite(history).all() and 0 <= text.evaluate(network, data)["accuracy"] <= 100


def test_the_papers_profile_runs_on_small_stand_ins_for_its_data_and_checkpoints(place, root, tmp_path, monkeypatch):
    """What differs: two small encoders in the place of the published ones, few short texts, one epoch."""
    for folder, n_classes in (("iflytek_public", 2), ("tnews_public", 3)):
        write_lines(
            place / folder / "labels.json", [{"label": str(k), "label_desc": f"类{k}"} for k in range(n_classes)]
        )
        rows = [
            {"label": str(i % n_classes), "sentence": "打车"[i % 2] * (1 + i % 5) + "车打"[: i % 3]} for i in range(24)
        ]
        for written in ("train.json", "dev.json"):
            write_lines(place / folder / written, rows)
    for name, variant in models.ARCHITECTURES.items():
        if variant.checkpoint:
            folder = tmp_path / variant.checkpoint.replace("/", "-")
            folder.exists() or checkpoint(folder, "bert.")
            monkeypatch.setitem(models.ARCHITECTURES, name, variant._replace(checkpoint=str(folder), length=8))
    models._chinese_tokenizer.cache_clear()
    monkeypatch.setattr(ranking, "bootstrap_interval", lambda *_: (-1.0, 1.0))  # takes long, and is not what is tested
    profile = root / "notebooks" / "profiles" / "paper_text.yaml"
    changed = {
        "epochs: 10": "epochs: 1",
        "learning_rate: 0.00002": "learning_rate: 0.001",
        "seeds: 3": "seeds: 2",
        "disk_gb: 10": "disk_gb: 0.1",
    }
    content = profile.read_text()
    for old, new in changed.items():
        assert old in content
        content = content.replace(old, new)
    profile.write_text(content)
    pipeline.check(profiles.load("paper_text"))
    study = experiment.Experiment("text", "paper_text")
    for of in (study, experiment.Experiment("text_scratch", "paper_text")):
        of.pretrain(), of.finetune()
    study.extract(), study.score(), study.correlate()
    judged = figures.judge("paper_text")
    assert set(judged["target"]) == {"iflytek", "average"} and judged["weighted_kendall"].between(-1, 1).any()
    assert list(figures.gains("paper_text").columns) == ["iflytek"] and len(study.pool.models) == 6
    assert figures.start("paper_text") == "Chinese checkpoints" and figures.start("smoke") == "random weights"
    assert {entry.notebook for entry in index.of_profile("paper_text")} == {"25_text"}
    for draw in (figures.text_examples, figures.text_accuracies):
        plt.close(draw("paper_text").figure)


def test_without_its_data_the_papers_profile_stops_before_anything_starts(place, root):
    (place / "tnews_public").mkdir()
    with pytest.raises(
        FileNotFoundError, match="for you: iflytek; `make data PROFILE=paper_text` says what to put where"
    ):
        pipeline.check(profiles.load("paper_text"))


def test_chinese_is_cut_to_a_line_and_characters_without_a_font_are_boxes():
    assert data_examples._start("打车" * 60) == "打车" * 26 + " …" and data_examples._start("打车") == "打车"
    assert data_examples._start("word " * 40).endswith("word …") and len(data_examples._start("word " * 40)) <= 105
    assert data_examples._drawable("打 taxi", ["DejaVu Sans"]) == "□ taxi"


def test_a_chinese_character_counts_as_a_word(monkeypatch):
    sentences = ("打车去", "听音乐", "车打了", "乐音好")
    data = Texts("t", "train", sentences, np.array([0, 1, 0, 1]), ("a", "b"))
    monkeypatch.setattr(text, "load", lambda *_: data)
    assert figures.bag_of_words("smoke") == 100.0
