"""Which arrays the metrics take, what they do to them (nothing), and what they say about the ones they cannot take."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from ncrepro import metrics
from ncrepro.metrics import ClassStatistics, collapse
from ncrepro.metrics.leep import source_labels
from ncrepro.metrics.registry import FEATURES, METRICS, of_statistics
from ncrepro.metrics.scores import score


def otce(features, labels):
    """F-OTCE from 40 samples of a source with 10 features, or with as many as the target has."""
    rng, d = np.random.default_rng(2), getattr(features, "shape", (0, 10))[-1]
    return metrics.otce(metrics.Samples(rng.standard_normal((40, d or 10)), np.arange(40) % 3), features, labels)


FEATURE_METRICS = [
    *(getattr(metrics, name) for name, metric in METRICS.items() if metric.needs == FEATURES),
    otce,
    metrics.all_scores,
    collapse.nc1,
    collapse.nc2,
    collapse.nc2_a,
    ClassStatistics.of,
]
each_metric = pytest.mark.parametrize("metric", FEATURE_METRICS, ids=lambda metric: metric.__qualname__)


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    return rng.standard_normal((4, 10))[np.arange(160) % 4] + rng.standard_normal((160, 10))


@pytest.fixture
def labels():
    return np.arange(160) % 4


@pytest.fixture
def probs():
    return np.random.default_rng(1).dirichlet(np.ones(6), 160)


def scores(features, labels, probs=None):
    return metrics.all_scores(features, labels, probs, nleep=False)


# ------------------------------------------------------------------------------------------ what is taken


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble", "int16", "uint8"])
def test_features_of_any_real_type_score_like_their_values_in_float64(features, labels, dtype):
    features = np.round(20 * features + 100).clip(0, 255).astype(dtype)
    assert scores(features, labels) == pytest.approx(scores(features.astype(np.float64), labels), rel=1e-4)


def test_memory_layout_makes_no_difference(features, labels):
    expected = scores(features, labels)
    wide = np.repeat(np.repeat(features, 2, axis=0), 3, axis=1)
    for view in (np.asfortranarray(features), wide[::2, ::3], features[::-1][::-1], np.ascontiguousarray(features.T).T):
        assert scores(view, labels) == pytest.approx(expected, rel=1e-9)


def test_data_frames_and_lists_are_accepted(features, labels, probs):
    expected = scores(features, labels, probs)
    names = pd.Series(labels).map({0: "a", 1: "b", 2: "c", 3: "d"})
    assert scores(pd.DataFrame(features), names, pd.DataFrame(probs)) == pytest.approx(expected, rel=1e-9)
    assert scores(features.tolist(), labels.tolist(), probs.tolist()) == pytest.approx(expected, rel=1e-9)


def test_a_data_frame_may_have_columns_called_like_attributes_of_an_array(features, labels, probs):
    expected, names = scores(features, labels, probs), ["dtype", "shape", "layout", "ndim", "T", "data"]
    frame = pd.DataFrame(features).rename(columns=dict(enumerate(names)))
    found = scores(frame, pd.DataFrame({"dtype": labels})["dtype"], pd.DataFrame(probs, columns=names))
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("dtype, rel", [(torch.float64, 1e-9), (torch.float32, 1e-5), (torch.float16, 1e-5)])
def test_torch_tensors_score_like_numpy_arrays(features, labels, probs, dtype, rel):
    tensor = torch.tensor(features, dtype=dtype)
    result = scores(tensor, torch.tensor(labels), torch.tensor(probs))
    assert result == pytest.approx(scores(tensor.numpy(), labels, probs), rel=rel)
    assert all(type(score) is float for score in result.values())
    full = metrics.face(tensor, labels, covariance="full")
    assert full == pytest.approx(metrics.face(tensor.numpy(), labels, covariance="full"), rel=rel)
    assert metrics.gbc(tensor, labels, n_components=None) == pytest.approx(
        metrics.gbc(tensor.numpy(), labels, n_components=None), rel=rel
    )
    assert collapse.nc4(tensor, labels, torch.tensor(labels)) == collapse.nc4(tensor.numpy(), labels, labels)


def test_torch_bfloat16_strided_and_gradient_tracking_tensors_are_accepted(features, labels):
    half = torch.tensor(features).to(torch.bfloat16)
    expected = scores(half.double(), labels)
    assert scores(half, labels) == pytest.approx(expected, rel=1e-4)
    assert scores(half.double().t().contiguous().t(), labels) == pytest.approx(expected, rel=1e-9)
    assert scores(half.double().requires_grad_(), labels) == pytest.approx(expected, rel=1e-9)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_scores_on_the_gpu_are_those_on_the_cpu(features, labels, probs):
    features = features.astype(np.float32)
    on_gpu = scores(torch.tensor(features).cuda(), labels, torch.tensor(probs).cuda())
    assert on_gpu == pytest.approx(scores(features, labels, probs), rel=1e-3)


def test_metrics_do_not_import_torch():
    code = "import sys, numpy; from ncrepro import metrics; metrics.h_score(numpy.eye(3)[[0, 1, 2, 0]], [0, 1, 0, 1])"
    subprocess.run([sys.executable, "-c", code + "; sys.exit('torch' in sys.modules)"], check=True)


def test_memory_maps_are_read_and_left_alone(features, labels, tmp_path):
    expected, path = scores(features, labels), tmp_path / "features.npy"
    np.save(path, features)
    before = path.read_bytes()
    for mode in ("r", "r+", "c"):
        mapped = np.load(path, mmap_mode=mode)
        assert scores(mapped, labels) == pytest.approx(expected, rel=1e-12)
        assert scores(mapped[20:], labels[20:]) == pytest.approx(scores(features[20:], labels[20:]), rel=1e-12)
    assert path.read_bytes() == before


def test_changes_to_a_copy_on_write_memory_map_are_not_lost(features, labels, tmp_path):
    np.save(tmp_path / "features.npy", features)
    mapped = np.load(tmp_path / "features.npy", mmap_mode="c")
    mapped[0] = 5.0
    metrics.h_score(mapped, labels)
    assert (mapped[0] == 5.0).all()


@each_metric
def test_read_only_input_is_enough_and_nothing_is_modified(metric, features, labels):
    copies = features.copy(), labels.copy()
    features.flags.writeable = labels.flags.writeable = False
    metric(features, labels)
    assert (features == copies[0]).all() and (labels == copies[1]).all()
    tensor = torch.tensor(copies[0])
    metric(tensor, labels)
    assert (tensor.numpy() == copies[0]).all()


@each_metric
def test_the_same_input_gives_the_same_score_to_the_last_bit(metric, features, labels):
    if metric != ClassStatistics.of:
        assert metric(features, labels) == metric(features, labels)


# ------------------------------------------------------------------------------------------ what is not


@each_metric
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_named_with_their_place(metric, features, labels, bad):
    features[7, 3] = bad
    with pytest.raises(ValueError, match=rf"contain {bad} \(first in row 7, column 3\).*finite"):
        metric(features, labels)
    with pytest.raises(ValueError, match=rf"contain {bad} \(first in row 7, column 3\).*finite"):
        metric(torch.tensor(features), labels)


def test_features_that_overflow_are_refused_as_too_large(features, labels):
    with pytest.raises(ValueError, match="too large.*divide"):
        metrics.h_score(1e200 * features, labels)


@each_metric
@pytest.mark.parametrize("shape", [(160,), (4, 4, 10), (160, 0), (0, 10)])
def test_features_of_a_wrong_shape_are_refused_with_their_shape(metric, shape):
    with pytest.raises(ValueError, match=r"features have shape \(.*\(n_samples, n_features\)"):
        metric(np.zeros(shape), np.arange(shape[0]) % 2)


@each_metric
def test_complex_and_object_features_are_refused(metric, features, labels):
    with pytest.raises(ValueError, match="of type complex128.*real numbers"):
        metric(features + 1j, labels)
    with pytest.raises(ValueError, match="of type object.*real numbers"):
        metric(features.astype(object), labels)


@each_metric
def test_lengths_that_differ_are_named(metric, features, labels):
    with pytest.raises(ValueError, match="160 samples but 159 labels"):
        metric(features, labels[1:])


@each_metric
@pytest.mark.parametrize("make, message", [
    (lambda labels: labels + 0.5, "of type float64.*0.5.*integers or strings"),
    (lambda labels: np.eye(4)[labels], r"shape \(160, 4\).*argmax"),
    (lambda labels: np.array([None] + list(labels[1:]), dtype=object), "of type object.*integers or strings"),
], ids=["fractions", "one-hot", "missing"])  # fmt: skip
def test_labels_that_are_no_labels_are_refused(metric, features, labels, make, message):
    with pytest.raises(ValueError, match=message):
        metric(features, make(labels))


@each_metric
def test_a_single_class_is_refused_by_every_score(metric, features):
    if metric != ClassStatistics.of:
        with pytest.raises(ValueError, match="all labels are 'cat'.*at least two"):
            metric(features, ["cat"] * 160)


@pytest.mark.parametrize("metric", [metrics.face, metrics.gbc, metrics.all_scores])
def test_a_class_with_one_sample_is_refused_where_a_spread_is_needed(metric, features, labels):
    labels[5] = 99
    with pytest.raises(ValueError, match="class 99 has a single sample.*at least two"):
        metric(features, labels)


@each_metric
def test_features_without_variance_are_refused_by_every_score(metric, labels):
    if metric != ClassStatistics.of:
        for value in (0.0, 0.1, 1e6):
            with pytest.raises(ValueError, match="all samples have the same features.*vary"):
                metric(np.full((160, 3), value), labels)


@pytest.mark.parametrize("metric", [metrics.ncti, metrics.sfda])
@pytest.mark.parametrize("scale", [1e-3, 100.0])
def test_classes_that_are_points_are_refused_by_discriminants(metric, labels, scale):
    with pytest.raises(ValueError, match="no feature varies within any class"):
        metric(scale * np.random.default_rng(0).standard_normal((4, 5))[labels], labels)


def test_class_means_that_coincide_are_refused_by_face():
    features = np.tile(np.random.default_rng(0).standard_normal((20, 3)), (2, 1))
    with pytest.raises(ValueError, match="class means all coincide"):
        metrics.face(features, np.repeat([0, 1], 20))


@pytest.mark.parametrize("call, message", [
    (lambda x, y: metrics.ncti(x, y, variant="best"), "variant is 'best'.*'released'.*'printed'"),
    (lambda x, y: metrics.face(x, y, covariance="round"), "covariance is 'round'.*'spherical'"),
    (lambda x, y: metrics.gbc(x, y, covariance="round"), "covariance is 'round'.*'spherical'"),
    (lambda x, y: metrics.gbc(x, y, covariance="full", released=True), "released=True.*not 'full'"),
    (lambda x, y: metrics.gbc(x, y, n_components=0), "n_components is 0.*at least 1"),
    (lambda x, y: metrics.gbc(x, y, n_components=2.5), "n_components is 2.5.*an integer, or None"),
    (lambda x, y: metrics.logme(x, y, iterations=2.5), "iterations is 2.5.*an integer, or None"),
    (lambda x, y: metrics.sfda(x, y, power_iterations=0), "power_iterations is 0.*at least 1"),
    (lambda x, y: metrics.nleep(x, y, components_per_class=0), "components_per_class is 0.*at least 1"),
    (lambda x, y: metrics.nleep(x, y, energy=80), "energy is 80.*a share of the variance"),
    (lambda x, y: metrics.nleep(x, y, energy=np.nan), "energy is nan.*a share of the variance"),
    (lambda x, y: metrics.face(x, y, temperature=0.0), "temperature is 0.0.*positive"),
    (lambda x, y: collapse.nc3(x, np.full((4, 10), np.inf), y), "weights contain inf"),
    (lambda x, y: collapse.nc4(x, y, y.astype(str)), "predictions are of another kind than labels, '0' and 0"),
    (lambda x, y: collapse.nc4(x, y, np.where(y, y, np.nan)), "predictions are of type float64"),
    (lambda x, y: collapse.nc3(x, np.zeros((3, 3)), y), r"weights have shape \(3, 3\).*\(4, 10\)"),
    (lambda x, y: collapse.nc4(x, y, y[1:]), "160 samples but 159 predictions"),
    (lambda x, y: ClassStatistics.of(x, y).update(x[:, 1:], y), "this batch has 9 features, the ones before it 10"),
    (lambda x, y: ClassStatistics.of(x, y).update(x, y.astype(str)), "use all integers or all strings"),
    (lambda x, y: ClassStatistics().update(x, y, 0.5), r"weights are 0.5; they must be 160 integers of at least 1"),
    (lambda x, y: ClassStatistics.of(x, y, np.full(160, 0.5)), "weights are .*; they must be 160 integers of at least"),
    (lambda x, y: ClassStatistics.of(x, y, y), "weights are .*; they must be 160 integers of at least 1"),
    (lambda x, y: ClassStatistics.of(x, y, np.ones(159, int)), "weights are .*; they must be 160 integers"),
    (lambda x, y: ClassStatistics.of(x, y).merge(ClassStatistics.of(x[:, 1:], y)), "10 and of 9 features"),
])  # fmt: skip
def test_an_argument_out_of_its_range_is_named_with_what_is_allowed(features, labels, call, message):
    with pytest.raises(ValueError, match=message):
        call(features, labels)


@pytest.mark.parametrize("spoil, message", [
    (lambda p: 2 * p, "row 0 sums to 2.*softmax"),
    (lambda p: np.log(p), "row 0 sums to -.*softmax"),
    (lambda p: np.where(np.arange(6) == 0, p + 1.5, p - 0.3), "the smallest is -.*softmax"),
    (lambda p: np.where(np.arange(160)[:, None] == 9, np.nan, p), "row 9 sums to nan"),
    (lambda p: p[:, 0], r"source_probs have shape \(160,\)"),
    (sparse.csr_matrix, r"source_probs are sparse.*use source_probs.toarray\(\)"),
    (lambda p: p + 1j, "source_probs are of type complex128"),
    (lambda p: p[1:], "159 samples but 160 labels"),
], ids=["sum", "logits", "negative", "nan", "shape", "sparse", "complex", "length"])  # fmt: skip
def test_source_probabilities_that_are_none_are_refused(labels, probs, spoil, message):
    with pytest.raises(ValueError, match=message):
        metrics.leep(spoil(probs), labels)


def test_source_labels_of_another_length_are_refused(labels):
    with pytest.raises(ValueError, match="160 samples but 159 source_labels"):
        metrics.nce(labels[1:], labels)


def test_source_labels_of_no_probabilities_are_refused(labels, probs):
    probs[9, 2] = np.nan
    with pytest.raises(ValueError, match="source_probs|contain nan"):
        source_labels(probs)
    for metric in ("leep", "nce"):
        with pytest.raises(ValueError, match="source_probs|contain nan"):
            score(metric, np.ones((160, 5)), labels, probs)
    with pytest.raises(ValueError, match="source_probs|contain nan"):
        metrics.all_scores(np.random.default_rng(0).standard_normal((160, 5)), labels, probs, nleep=False)


@each_metric
@pytest.mark.parametrize("make, message", [
    (sparse.csr_matrix, r"features are sparse.*features.toarray\(\)"),
    (lambda x: torch.tensor(x).to_sparse(), r"features are sparse.*features.to_dense\(\)"),
    (lambda x: np.ma.masked_array(x, mask=x > 2), "values of the features are masked.*drop"),
    (lambda x: torch.tensor(x) + 1j, "of type torch.complex128.*real numbers"),
    (lambda x: [torch.tensor(row, requires_grad=True) for row in x], "features are a list.*stack"),
    (lambda x: [*x[:-1].tolist(), [1.0]], "features are a list.*one shape"),
    (lambda x: torch.empty(160, 10, device="meta"), "features are a tensor that is on the meta device"),
    (lambda x: (row for row in x), "features are a generator.*one row per sample"),
], ids=["sparse", "torch-sparse", "masked", "complex", "gradients", "ragged", "meta", "rows"])  # fmt: skip
def test_features_held_in_another_way_are_refused_with_what_to_do(metric, features, labels, make, message):
    with pytest.raises(ValueError, match=message):
        metric(make(features), labels)


@each_metric
@pytest.mark.parametrize("make, message", [
    (lambda y: sparse.csr_matrix(np.eye(4)[y]), "labels are sparse"),
    (lambda y: torch.tensor(y).bfloat16(), "labels are of type float32.*integers or strings"),
    (lambda y: torch.eye(4)[torch.tensor(y)], r"labels have shape \(160, 4\).*argmax"),
    (lambda y: np.ma.masked_array(y, mask=y == 3), "values of the labels are masked"),
    (lambda y: [*map(str, y[:-1]), None], "of type object"),
    (lambda y: [[int(k)] * (1 + int(k)) for k in y], "labels are a list"),
    (lambda y: [*map(str, y[:-1]), float("nan")], "labels are partly strings, partly not, for example nan"),
    (lambda y: (*map(str, y[:-1]), 3), "labels are partly strings, partly not, for example 3"),
    (lambda y: [*y[:-1].tolist(), 2**70], "labels hold an integer of more than 64 bits, 1180591620717411303424"),
    (lambda y: set(y.tolist()), "labels are a set"),
], ids=["sparse", "bfloat16", "one-hot", "masked", "missing", "ragged", "nan", "mixed", "huge", "set"])  # fmt: skip
def test_labels_held_in_another_way_are_refused_with_what_to_do(metric, features, labels, make, message):
    with pytest.raises(ValueError, match=message):
        metric(features, make(labels))


def test_booleans_unmasked_arrays_and_integers_as_objects_are_accepted(features, labels):
    assert metrics.logme(torch.tensor(features > 0), labels) == pytest.approx(
        metrics.logme(features > 0, labels), rel=1e-6
    )
    expected = metrics.logme(features, labels)
    assert metrics.logme(np.ma.masked_array(features), labels.astype(object)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_nested_tensors_and_statistics_are_no_features(features, labels):
    with pytest.raises(ValueError, match="features are a tensor that is nested"):
        metrics.logme(torch.nested.nested_tensor(list(torch.tensor(features))), labels)
    with pytest.raises(ValueError, match="features are a ClassStatistics; they must be an array with one row"):
        metrics.ncti(ClassStatistics.of(features, labels), None)


class Held:
    """Rows as other libraries hold them: a shape, a type, slices, and a way to NumPy."""

    def __init__(self, values):
        self.values, self.shape, self.dtype, self.ndim = values, values.shape, values.dtype, values.ndim

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype)


def test_arrays_of_other_libraries_are_accepted(features, labels):
    turned = torch.view_as_complex(torch.stack([torch.zeros(160, 10).double(), -torch.tensor(features)], -1))
    for held in (Held(features), turned.conj().imag):  # the second with its sign yet to be turned
        assert metrics.all_scores(held, labels) == pytest.approx(metrics.all_scores(features, labels), rel=1e-6)
    weights = np.random.default_rng(0).standard_normal((4, 10))
    assert collapse.nc3(features, torch.tensor(weights).bfloat16(), labels) == pytest.approx(
        collapse.nc3(features, weights, labels), rel=1e-2
    )


@each_metric
def test_labels_in_a_table_of_one_column_and_in_bytes_are_labels(metric, features, labels):
    names = np.array(list("abcd"))[labels]
    if metric != ClassStatistics.of:
        for held in (labels[:, None], pd.DataFrame({"y": labels}), names.astype("S"), [[k] for k in names]):
            assert metric(features, held) == metric(features, labels)
    assert ClassStatistics.of(features, names.astype("S")).classes.tolist() == list("abcd")


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251"])
def test_bytes_are_distinguished_in_any_encoding(encoding, features):
    words = ["кот", "дом", "собака", "лес"] * 40
    assert metrics.logme(features, [word.encode(encoding) for word in words]) == metrics.logme(features, words)


def test_unsigned_and_signed_labels_are_the_same_classes(features, labels):
    merged = ClassStatistics.of(features, labels.astype(np.uint64)).merge(ClassStatistics.of(features, labels))
    assert merged.classes.dtype.kind == "i" and merged.classes.tolist() == [0, 1, 2, 3]


@each_metric
def test_rows_that_are_named_in_another_order_are_refused(metric, features, labels):
    names = [f"photo {i}" for i in range(160)]
    frame, column = pd.DataFrame(features, index=names), pd.Series(labels, index=names)
    with pytest.raises(ValueError, match="features and labels name the same samples in another order"):
        metric(frame, column[::-1])
    for pair in ((frame, column), (frame, column.reset_index(drop=True)), (pd.DataFrame(features), column[::-1][::-1])):
        metric(*pair)
    metric(pd.DataFrame(features), pd.Series(labels, index=range(159, -1, -1)))  # whose rows have no names


def test_rows_that_are_the_same_only_in_part_are_refused():
    def go(one, other):
        n = len(one)
        return metrics.h_score(pd.DataFrame(np.eye(n)[:, :2], index=one), pd.Series(np.arange(n) % 2, index=other))

    rows, pairs = pd.RangeIndex(8), pd.MultiIndex.from_product([["a", "b"], range(4)])
    for one, other, difference in (
        (rows.drop(3), rows.drop(5), "only in part"),
        (rows[1:], rows[1:] + 1, "only in part"),
        ([*"aabbccdd"], [*"aabbcdd", "x"], "only in part"),
        ([*"aabbccdd"], [*"abbbccdd"], "only in part"),
        ([*"aabbccdd"], [*"bbaaccdd"], "in another order"),
        (pairs, pairs[::-1], "in another order"),
        (rows[::-1], rows, "in another order"),  # of which the first was shuffled alone
    ):
        with pytest.raises(
            ValueError, match=f"features and labels name the same samples {difference}, and rows are paired"
        ):
            go(one, other)
    for one, other in (
        (rows, rows.drop(3).append(pd.Index([9]))),  # the first has no names
        (rows.drop(3).append(pd.Index([9])), rows),  # nor has the second
        ([0, 0, 1, 1, 2, 2, 3, 3], rows),
        ([*"aabbccdd"], [*"aabbccdd"]),
        (rows + 1, rows + 9),
        (pairs, [*"abcdefgh"]),
        ([*"abcdefgh"], pairs),
    ):
        go(one, other)


def test_source_probabilities_and_predictions_in_another_order_are_refused(features, labels, probs):
    names = [f"photo {i}" for i in range(160)]
    column = pd.Series(labels, index=names)
    with pytest.raises(ValueError, match="source_probs and labels name the same samples in another order"):
        metrics.leep(pd.DataFrame(probs, index=names[::-1]), column)
    with pytest.raises(ValueError, match="source_labels and labels name the same samples in another order"):
        metrics.nce(column[::-1], column)
    with pytest.raises(ValueError, match="features and predictions name the same samples in another order"):
        collapse.nc4(pd.DataFrame(features, index=names), labels, column[::-1])


def test_samples_take_no_other_labels_than_their_own(features, labels, probs):
    data = metrics.Samples(features, labels)
    assert metrics.logme(data, labels) == metrics.logme(data, list(labels)) == metrics.logme(data, None)
    for others in (labels[::-1], labels[1:], labels.astype(str)):
        with pytest.raises(ValueError, match="these samples hold labels of their own, which are different"):
            metrics.ncti(data, others)
    assert metrics.all_scores(data, None, probs) == metrics.all_scores(features, labels, probs)


def test_a_resample_takes_labels_in_the_order_in_which_it_was_drawn(features, labels, probs):
    indices = np.random.default_rng(0).integers(0, 160, 160)
    part = metrics.Samples(features, labels).resampled(indices)
    scores = metrics.all_scores(part, labels[indices], probs[indices], nleep=False)
    assert scores["leep"] == metrics.leep(probs[indices], labels[indices])
    assert scores["logme"] == metrics.logme(part, None)
    with pytest.raises(ValueError, match="these samples hold labels of their own, which are different"):
        metrics.all_scores(part, labels, probs[indices], nleep=False)


@pytest.mark.parametrize("positions, message", [
    (np.arange(160) < 80, "positions are of type bool.*np.flatnonzero"),
    (np.arange(80.0), "positions are of type float64"),
    ([], "one or more"),
    ([-1, 3], "position -1 is none of the 160 samples"),
    ([160, 3], "position 160 is none of the 160 samples"),
])  # fmt: skip
def test_positions_of_a_resample_are_positions(features, labels, positions, message):
    with pytest.raises(ValueError, match=message):
        metrics.Samples(features, labels).resampled(positions)


def test_statistics_in_axes_of_their_own_cannot_be_joined(features, labels):
    wide = [metrics.Samples(features[part], labels[part]).statistics for part in (slice(0, 8), slice(8, 16))]
    whole = ClassStatistics().update(features, labels)
    for join in (
        lambda: wide[0].merge(wide[1]),
        lambda: whole.merge(wide[1]),
        lambda: wide[0].update(features, labels),
    ):
        with pytest.raises(ValueError, match="in axes of its own.*gather them with ClassStatistics"):
            join()


@pytest.mark.parametrize("dtype, rel", [(np.float64, 1e-9), (np.float32, 1e-5)])
@pytest.mark.parametrize("d", [1, 10])
def test_sfda_of_features_that_add_up_to_a_constant_has_the_largest_eigenvalue(features, labels, d, dtype, rel):
    balanced = np.column_stack([features[:, :d], 3 - features[:, :d]])
    assert metrics.sfda(balanced.astype(dtype), labels) == pytest.approx(
        metrics.sfda(balanced, labels, power_iterations=None), rel=rel
    )


def test_statistics_of_nothing_are_refused_by_scores_and_add_nothing_to_others(features, labels):
    empty, full = ClassStatistics(), ClassStatistics.of(features, labels)
    for metric in (getattr(metrics, name) for name in of_statistics()):
        with pytest.raises(ValueError, match="hold no samples; update"):
            metric(empty)
        assert metric(full.merge(empty)) == metric(empty.merge(full)) == pytest.approx(metric(full), rel=1e-12)
    with pytest.raises(ValueError, match="hold no samples"):
        metrics.logme(empty.merge(ClassStatistics()))
    with pytest.raises(ValueError, match="dtype is 'float16'.*'float32', 'float64'"):
        ClassStatistics("float16")


@pytest.mark.parametrize("spoil", [
    lambda x, y: (np.where(np.arange(10) == 3, np.nan, x), y),
    lambda x, y: (x[:, 1:], y),
    lambda x, y: (x, y.astype(str)),
    lambda x, y: (x, y[1:]),
    lambda x, y: (1e200 * x, y + 7),
], ids=["nan", "columns", "strings", "length", "overflow"])  # fmt: skip
def test_a_refused_batch_leaves_the_statistics_as_they_were(features, labels, spoil):
    statistics = ClassStatistics().update(features[:80], labels[:80])
    before = {name: np.copy(value) for name, value in statistics.__dict__.items()}
    with pytest.raises(ValueError):
        statistics.update(*spoil(features, labels))
    assert statistics.__dict__.keys() == before.keys()
    assert all(np.array_equal(before[name], value) for name, value in statistics.__dict__.items())


def test_statistics_that_refused_their_first_batch_are_still_empty(features, labels):
    statistics = ClassStatistics()
    with pytest.raises(ValueError, match="contain nan"):
        statistics.update(np.where(np.arange(10) == 3, np.nan, features), labels)
    assert metrics.logme(statistics.update(features[:, :4], labels)) == metrics.logme(
        ClassStatistics().update(features[:, :4], labels)
    )


# ------------------------------------------------------------------------------------------ warnings


@pytest.mark.parametrize("metric, remedy", [(metrics.h_score, "regularized_h_score"), (metrics.sfda, "PCA")])
def test_fewer_samples_than_features_are_warned_of_where_they_make_a_score_meaningless(metric, remedy):
    features, labels = np.random.default_rng(0).standard_normal((40, 60)), np.arange(40) % 4
    with pytest.warns(UserWarning, match=f"no more samples than features.*{remedy}") as caught:
        metric(features, labels)
    assert len(caught) == 1


@pytest.mark.parametrize(
    "metric", [metrics.ncti, metrics.face, metrics.logme, metrics.regularized_h_score, metrics.transrate, metrics.gbc]
)
def test_other_scores_of_fewer_samples_than_features_are_silent_and_finite(metric):
    features, labels = np.random.default_rng(0).standard_normal((40, 60)), np.arange(40) % 4
    assert np.isfinite(metric(features, labels)).all()


@pytest.mark.filterwarnings("ignore:.*no more samples than features:UserWarning")
@pytest.mark.parametrize("n, d, n_classes", [(4, 1, 2), (6, 1, 3), (4, 9, 2), (8, 3, 4), (20, 70, 10)])
def test_the_smallest_data_sets_have_finite_scores(n, d, n_classes):
    features, labels = np.random.default_rng(0).standard_normal((n, d)), np.arange(n) % n_classes
    assert np.isfinite(list(scores(features, labels).values())).all()


@pytest.mark.filterwarnings("ignore:.*no more samples than features:UserWarning")
@pytest.mark.parametrize("kind", ["dead", "constant", "twins", "collapsed", "tiny", "huge", "one direction"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_degenerate_features_have_finite_scores(features, labels, kind, dtype):
    if kind == "dead":
        features[:, 3:] = 0
    if kind == "constant":
        features[:, 3:] = 3.3
    if kind == "twins":
        features = np.concatenate([features, features], axis=1)
    if kind == "collapsed":
        features = np.eye(4)[labels] + 1e-5 * features[:, :4]
    if kind == "tiny":
        features *= 1e-6
    if kind == "huge":
        features *= 1e6
    if kind == "one direction":
        features = 1e-3 * features + np.outer(1e3 * features[:, 0], np.ones(10))
    assert np.isfinite(list(scores(features.astype(dtype), labels).values())).all()
