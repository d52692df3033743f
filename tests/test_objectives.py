import copy
import math
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from ncrepro.lab import objectives, published, training
from ncrepro.lab.objectives import byol, clustering, insdis, moco, pcl, representation_collapse, simclr, swav
from ncrepro.lab.objectives.base import follow, momentum_copy, unit
from ncrepro.lab.objectives.views import STRONG, View

EVERY = sorted(objectives.OBJECTIVES)
N_IMAGES, N_FEATURES = 24, 12


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def rows(n, p=8):
    return unit(torch.randn(n, p))


def encoder():
    return nn.Sequential(
        nn.Conv2d(3, N_FEATURES, 3, stride=4),
        nn.BatchNorm2d(N_FEATURES),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


def images(n=N_IMAGES):
    return np.random.default_rng(0).integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)


def small(name):
    """The objective, with no more clusters and queue than two dozen images can fill."""
    kind = objectives.OBJECTIVES[name]
    sizes = {"n_clusters": (4, 6, 8), "n_prototypes": 6, "queue_length": 16}
    shrunk = type(kind.__name__, (kind,), {key: value for key, value in sizes.items() if hasattr(kind, key)})
    torch.manual_seed(1)
    return shrunk(encoder(), N_FEATURES, N_IMAGES)


# The losses -----------------------------------------------------------------------------------------------------------


def test_instance_discrimination_is_the_mean_negative_log_probability_plus_the_distance_from_memory():
    v, memory, own = rows(3), rows(5), torch.tensor([4, 0, 2])
    slow = 0.0
    for i in range(3):
        powers = [math.exp(float(v[i] @ memory[j]) / 0.1) for j in range(5)]
        slow += -math.log(powers[own[i]] / sum(powers)) / 3 + 2 * float((v[i] - memory[own[i]]).norm()) ** 2 / 3
    assert float(insdis.instance_loss(v, memory, own, 0.1, 2.0)) == pytest.approx(slow, rel=1e-5)


def test_instance_discrimination_among_images_that_look_alike_costs_log_n():
    v = rows(1)
    assert float(insdis.instance_loss(v, v.repeat(7, 1), torch.tensor([3]), 0.07, 30.0)) == pytest.approx(
        math.log(7), rel=1e-5
    )


def test_info_nce_is_its_definition_for_every_query():
    query, keys = rows(3), rows(6)
    slow = 0.0
    for i in range(3):
        powers = [math.exp(float(query[i] @ keys[j]) / 0.2) for j in range(6)]
        slow += -math.log(powers[i] / sum(powers)) / 3
    assert float(moco.info_nce(query, keys, 0.2)) == pytest.approx(slow, rel=1e-5)


def test_info_nce_of_a_match_among_orthogonal_keys_is_known():
    axes = torch.eye(5)
    assert float(moco.info_nce(axes[:2], axes, 0.5)) == pytest.approx(
        -math.log(math.exp(2) / (math.exp(2) + 4)), rel=1e-5
    )


def test_nt_xent_is_its_definition_over_all_ordered_pairs():
    first, second = rows(3), rows(3)
    z, partner = torch.cat([first, second]), [3, 4, 5, 0, 1, 2]
    slow = 0.0
    for i in range(6):
        powers = {k: math.exp(float(z[i] @ z[k]) / 0.3) for k in range(6) if k != i}
        slow += -math.log(powers[partner[i]] / sum(powers.values())) / 6
    assert float(simclr.nt_xent(first, second, 0.3)) == pytest.approx(slow, rel=1e-5)


def test_nt_xent_of_one_pair_is_nothing_since_there_is_no_other_view_to_confuse_it_with():
    assert float(simclr.nt_xent(rows(1), rows(1), 0.1)) == pytest.approx(0, abs=1e-6)


def test_nt_xent_of_a_collapsed_batch_is_log_of_all_others():
    z = rows(1).repeat(4, 1)
    assert float(simclr.nt_xent(z, z, 0.1)) == pytest.approx(math.log(7), rel=1e-5)


def test_byol_loss_is_the_squared_distance_of_unit_vectors():
    prediction, target = torch.randn(4, 8) * 3, torch.randn(4, 8) / 5
    assert float(byol.byol_loss(prediction, target)) == pytest.approx(
        float((unit(prediction) - unit(target)).square().sum(1).mean()), rel=1e-5
    )


def test_byol_loss_runs_from_0_for_parallel_to_4_for_opposite():
    x = torch.randn(3, 8)
    assert [float(byol.byol_loss(x, factor * x)) for factor in (2, -0.5)] == pytest.approx([0, 4], abs=1e-5)


def test_swapped_prediction_is_the_cross_entropy_of_the_other_codes():
    scores, codes = torch.randn(3, 4), torch.rand(3, 4)
    slow = 0.0
    for i, k in product(range(3), range(4)):
        total = sum(math.exp(float(scores[i, j]) / 0.1) for j in range(4))
        slow += -float(codes[i, k]) * math.log(math.exp(float(scores[i, k]) / 0.1) / total) / 3
    assert float(swav.swapped_loss(scores, codes, 0.1)) == pytest.approx(slow, rel=1e-4)


def test_swapped_prediction_between_uniform_codes_and_equal_scores_is_log_k():
    assert float(swav.swapped_loss(torch.zeros(5, 8), torch.full((5, 8), 1 / 8), 0.1)) == pytest.approx(
        math.log(8), rel=1e-5
    )


def test_prototype_loss_is_its_definition_with_a_temperature_per_cluster():
    query, centres, spread, own = rows(3), rows(4), torch.tensor([0.1, 0.2, 0.3, 0.4]), torch.tensor([3, 0, 1])
    slow = 0.0
    for i in range(3):
        powers = [math.exp(float(query[i] @ centres[j]) / float(spread[j])) for j in range(4)]
        slow += -math.log(powers[own[i]] / sum(powers)) / 3
    assert float(pcl.prototype_loss(query, centres, spread, own)) == pytest.approx(slow, rel=1e-5)


def test_concentration_follows_its_formula_where_no_cluster_is_extreme():
    x = torch.tensor([[0.0, 1.0], [0.0, 3.0], [5.0, 0.0], [8.0, 0.0], [9.0, 0.0]])
    centres, assignment = torch.tensor([[0.0, 0.0], [4.0, 0.0]]), torch.tensor([0, 0, 1, 1, 1])
    phi = np.array([(1 + 3) / (2 * math.log(2 + 10)), (1 + 4 + 5) / (3 * math.log(3 + 10))])
    phi = phi.clip(*np.quantile(phi, [0.1, 0.9]))
    found = pcl.concentration(x, centres, assignment, temperature=0.2)
    assert found.numpy() == pytest.approx(0.2 * phi / phi.mean(), rel=1e-5)


def test_a_cluster_of_one_counts_as_wide_as_the_widest():
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0], [0.0, 5.0], [3.0, 0.0], [4.0, 0.0]])
    centres, assignment = torch.tensor([[1.0, 0.0], [0.0, 0.0], [3.5, 0.0]]), torch.tensor([0, 1, 1, 1, 2, 2])
    found = pcl.concentration(x, centres, assignment, temperature=0.2)
    assert found[0] == found[1] > found[2]


# Clusters -------------------------------------------------------------------------------------------------------------


def test_sinkhorn_shares_out_the_clusters_equally():
    q = clustering.sinkhorn(torch.randn(20, 5), epsilon=0.5, n_iterations=100)
    assert q.sum(1).numpy() == pytest.approx(np.ones(20), abs=1e-5)
    assert q.sum(0).numpy() == pytest.approx(np.full(5, 20 / 5), abs=1e-3)


def test_sinkhorn_rescales_rows_and_columns_and_nothing_else():
    scores = torch.randn(4, 3)
    q = clustering.sinkhorn(scores, epsilon=0.5, n_iterations=50)
    ratio = q.log() - scores / 0.5  # = log u_i + log v_k
    assert (ratio - ratio[:1] - ratio[:, :1] + ratio[0, 0]).abs().max() < 1e-4


def test_sinkhorn_splits_images_that_all_prefer_one_cluster():
    scores = torch.tensor([[1.0, 0.9], [1.0, 0.8], [1.0, 0.1], [1.0, 0.0]])
    labels = clustering.sinkhorn(scores, epsilon=0.03, n_iterations=200).argmax(1)
    assert labels.tolist() == [1, 1, 0, 0]


def test_sinkhorn_survives_scores_that_overflow_an_exponential():
    assert clustering.sinkhorn(torch.randn(6, 3) * 1000, epsilon=0.01, n_iterations=3).isfinite().all()


def test_kmeans_finds_clusters_that_lie_far_apart():
    truth = torch.arange(60) % 3
    x = unit(torch.eye(3)[truth] + 0.05 * torch.randn(60, 3))
    runs = [clustering.spherical_kmeans(x, 3, torch.Generator().manual_seed(seed)) for seed in range(8)]
    centres, assignment = max(runs, key=lambda run: float((x * run[0][run[1]]).sum()))
    assert len({(int(a), int(t)) for a, t in zip(assignment, truth, strict=True)}) == 3
    assert centres.norm(dim=1).numpy() == pytest.approx(np.ones(3), abs=1e-5)


def test_kmeans_assigns_every_row_to_its_nearest_centre():
    x = rows(40)
    centres, assignment = clustering.spherical_kmeans(x, 7, torch.Generator().manual_seed(0))
    assert assignment.tolist() == [max(range(7), key=lambda k: float(row @ centres[k])) for row in x]


def test_kmeans_with_a_cluster_per_row_loses_nothing():
    x = rows(5)
    centres, assignment = clustering.spherical_kmeans(x, 5, torch.Generator().manual_seed(0))
    assert torch.allclose(centres[assignment], x, atol=1e-6)


def test_kmeans_refuses_more_clusters_than_rows():
    with pytest.raises(ValueError, match="n_clusters is 6, but there are 5 rows"):
        clustering.spherical_kmeans(rows(5), 6, torch.Generator())


# Views ----------------------------------------------------------------------------------------------------------------


def unchanged(**other):
    return View(**{"area": 1.0, "degrees": 0.0, "colour": 0.0, "grey": 0.0, "blur": 0.0, "size": 32} | other)


def prepared():
    return training.prepare(images())


def test_a_view_that_changes_nothing_gives_the_image_back():
    seen = unchanged()(prepared(), torch.Generator().manual_seed(0))
    assert torch.allclose(seen, prepared(), atol=1e-5)


def test_the_same_draws_give_the_same_views_and_others_give_others():
    first, again, other = (STRONG(prepared(), torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


def test_each_image_of_a_batch_is_changed_in_its_own_way():
    x = prepared()[:1].expand(4, -1, -1, -1)
    seen = View()(x, torch.Generator().manual_seed(0))
    assert all(not torch.allclose(seen[i], seen[j]) for i in range(4) for j in range(i))


def test_views_are_of_the_requested_size_and_within_the_range_of_images():
    seen = STRONG(prepared(), torch.Generator().manual_seed(0))
    assert seen.shape == (N_IMAGES, 3, STRONG.size, STRONG.size)
    assert -2 <= seen.min() and seen.max() <= 2


def test_grey_views_have_equal_channels_and_keep_the_brightness():
    x = prepared()
    seen = unchanged(grey=1.0)(x, torch.Generator().manual_seed(0))
    brightness = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    assert torch.allclose(seen, brightness[:, None].expand_as(seen), atol=1e-4)


def test_colour_jitter_leaves_the_shape_of_a_grey_image():
    x = prepared().mean(1, keepdim=True).expand(-1, 3, -1, -1) / 4  # far from the limits, where nothing is cut off
    seen = unchanged(colour=0.3)(x, torch.Generator().manual_seed(0))
    for before, after in zip(x[:, 0].flatten(1), seen[:, 0].flatten(1), strict=True):
        assert np.corrcoef(before, after)[0, 1] == pytest.approx(1, abs=1e-4)
    assert torch.allclose(seen[:, 0], seen[:, 1], atol=1e-4)


def test_blur_evens_out_and_keeps_the_mean():
    x = prepared()
    seen = unchanged(blur=1.0)(x, torch.Generator().manual_seed(0))
    assert (seen.flatten(1).std(1) < x.flatten(1).std(1)).all()
    assert torch.allclose(seen.mean((1, 2, 3)), x.mean((1, 2, 3)), atol=0.05)


def test_no_view_is_mirrored():
    ramp = torch.linspace(-1, 1, 32).expand(64, 3, 32, 32)
    seen = unchanged(area=0.5, degrees=15.0)(ramp, torch.Generator().manual_seed(0))
    assert (seen[..., -1].mean((1, 2)) > seen[..., 0].mean((1, 2))).all()


# Training -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_every_objective_trains_its_encoder(name):
    objective = small(name)
    before = [p.clone() for p in objective.encoder.parameters()]
    history = objectives.fit(objective, images(), objectives.Recipe(epochs=2, batch_size=8, learning_rate=0.01), seed=0)
    assert all(not torch.equal(p, old) for p, old in zip(objective.encoder.parameters(), before, strict=True))
    assert len(history) == 2 and all(map(math.isfinite, history))
    assert not objective.training


@pytest.mark.parametrize("name", EVERY)
def test_a_small_step_against_the_gradient_lowers_the_loss_of_the_same_views(name):
    objective = small(name)
    draws, indices = torch.Generator().manual_seed(0), torch.arange(8)
    for epoch in range(2):  # PCL has clusters from the second epoch on
        objective.start_epoch(epoch, prepared(), draws)
    views = [view(prepared()[:8], draws) for view in objective.views]
    before = copy.deepcopy(objective)  # with the memory that the step is taken from
    loss = before(views, indices)
    loss.backward()
    with torch.no_grad():
        for p, q in zip(objective.parameters(), before.parameters(), strict=True):
            p -= 0 if q.grad is None else 1e-4 * q.grad / q.grad.norm().clamp(min=1e-6)
    assert objective(views, indices) < loss


@pytest.mark.parametrize("name", EVERY)
def test_the_same_seed_gives_the_same_bits(name):
    def trained():
        objective = small(name)
        objectives.fit(objective, images(), objectives.Recipe(epochs=2, batch_size=8, learning_rate=0.01), seed=5)
        return objective.encoder.state_dict()

    first, second = trained(), trained()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("name", EVERY)
def test_nothing_that_an_objective_remembers_is_in_the_way_of_its_gradient(name):
    objective = small(name)
    draws = torch.Generator().manual_seed(0)
    x, indices = prepared(), torch.arange(8)
    for epoch in range(2):  # memories are written during a step, and read by the next
        objective.start_epoch(epoch, x, draws)
        objective([view(x[:8], draws) for view in objective.views], indices).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in objective.encoder.parameters())


def test_every_paper_of_the_pool_has_its_objective():
    in_table = published.load("selfsupervised_finetuned_accuracy").index.str.replace("-", "_")
    assert sorted(in_table) == EVERY


def test_a_momentum_copy_follows_by_the_given_share_and_gets_no_gradient():
    leader = nn.Linear(2, 2)
    follower = momentum_copy(leader)
    old = follower.weight.clone()
    with torch.no_grad():
        leader.weight += 1
    follow(follower, leader, 0.9)
    assert torch.allclose(follower.weight, old + 0.1)
    assert not any(p.requires_grad for p in follower.parameters())


def test_the_target_of_byol_stops_moving_at_the_end():
    objective = small("byol")
    with torch.no_grad():
        for p in objective.network.parameters():
            p += 1
    before = [p.clone() for p in objective.target.parameters()]
    objective.after_step(progress=1.0)
    assert all(torch.equal(p, old) for p, old in zip(objective.target.parameters(), before, strict=True))


def test_the_queue_of_moco_holds_the_last_keys_newest_first():
    objective = small("moco_v1")
    objective.eval()
    x = training.prepare(images())
    for start in (0, 8, 16):
        objective([x[start : start + 8]] * 2, torch.arange(start, start + 8))
    keys = unit(objective.key_network(x))
    assert torch.allclose(objective.queue, torch.cat([keys[16:24], keys[8:16]]), atol=1e-5)


def test_the_memory_of_instance_discrimination_moves_half_way_to_what_was_seen():
    objective = small("insdis")
    objective.eval()
    x = training.prepare(images())
    objective.start_epoch(0, x, torch.Generator())
    old = objective.memory.clone()
    seen = x[:4] + 1
    objective([seen], torch.arange(4))
    assert torch.allclose(objective.memory[:4], unit((old[:4] + unit(objective.network(seen))) / 2), atol=1e-5)
    assert torch.equal(objective.memory[4:], old[4:])


def test_the_labels_of_sela_are_shared_out_more_equally_than_the_nearest_prototypes():
    objective = small("sela_v2")
    objective.start_epoch(0, prepared(), torch.Generator())
    counts = torch.bincount(objective.labels, minlength=6)
    z = unit(objective.network(objective.views[0](prepared(), torch.Generator())))
    nearest = torch.bincount((z @ unit(objective.prototypes.detach()).T).argmax(1), minlength=6)
    assert counts.sum() == 24 and counts.min() >= 2 and counts.max() <= 8  # 4 would be exactly equal shares
    assert counts.float().var() < nearest.float().var()


def test_a_training_that_diverges_says_so():
    objective = small("simclr_v1")
    with torch.no_grad():
        objective.encoder[0].weight.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match="loss is nan in epoch 1: lower the learning rate"):
        objectives.fit(objective, images(), objectives.Recipe(epochs=1, batch_size=8, learning_rate=0.01), seed=0)


def test_other_images_than_the_objective_was_built_for_are_refused():
    with pytest.raises(ValueError, match="10 images, but the objective was built for 24"):
        objectives.fit(small("insdis"), images(10), objectives.Recipe(1, 8, 0.01), seed=0)


def test_an_unknown_objective_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match="did you mean 'simclr_v2'"):
        objectives.build("simclr2", encoder(), N_FEATURES, N_IMAGES, seed=0)


def test_building_an_objective_leaves_the_global_random_state():
    network = encoder()
    state = torch.get_rng_state()
    objectives.build("swav", network, N_FEATURES, N_IMAGES, seed=7)
    assert torch.equal(torch.get_rng_state(), state)


# Collapse -------------------------------------------------------------------------------------------------------------


def test_features_spread_over_all_directions_measure_one():
    H = np.random.default_rng(0).standard_normal((4000, 16))
    found = representation_collapse.measure(H)
    assert found.feature_std == pytest.approx(1, abs=0.02)
    assert found.effective_rank == pytest.approx(16, abs=0.1)
    assert found.live_features == 1 and not found.collapsed


def test_constant_features_are_collapsed():
    found = representation_collapse.measure(np.ones((50, 8)) * np.arange(1, 9))
    assert found == (pytest.approx(0, abs=1e-9), pytest.approx(1), 0)
    assert found.collapsed


def test_dead_features_that_are_all_zero_are_collapsed_without_a_warning():
    assert representation_collapse.measure(np.zeros((50, 8))).collapsed


def test_features_along_one_line_are_collapsed():
    line = np.outer(np.linspace(-1, 1, 50), np.ones(8))
    found = representation_collapse.measure(line)
    assert found.effective_rank == pytest.approx(1)
    assert found.collapsed


def test_the_effective_rank_of_equal_variances_counts_them():
    H = np.zeros((6, 8))
    H[np.arange(6), np.arange(6) // 2] = [1, -1] * 3  # three orthogonal directions, equally wide
    assert representation_collapse.measure(H).effective_rank == pytest.approx(3)


def test_half_of_the_features_dead_is_reported_as_half():
    H = np.random.default_rng(0).standard_normal((100, 8))
    H[:, :4] = 0
    assert representation_collapse.measure(H).live_features == 0.5
