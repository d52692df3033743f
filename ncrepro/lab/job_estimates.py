"""How long a job takes, and what it leaves on disk: estimates from published multiply-adds, before anything runs."""

from . import manual_data, profiles

# What the estimates rest on: a machine with one GPU. A network's published multiply-adds give its seconds per image.
GIGAFLOPS_PER_S = 8_000.0  # of the GPU: ResNet-50 on 2,000 images/s
TRAINING = 3  # how many forward passes cost as much as one training step
DECODED_PER_S = 120  # photographs that one CPU core decodes and resizes in a second
SCORED_PER_S = 400  # images per second and core that all metrics together get through
CORES = 16
N_FEATURES = 1_750  # of a network, on average over the papers' nineteen
N_SOURCE_CLASSES = 1_000
GB_OF_TRAINING = 4.0  # host memory of a process that trains or extracts at the papers' scale
# Multiply-adds of an image of 480 pixels, of a text of 128 tokens, and the size of the weights: counted, not published.
_COUNTED = {"pspnet_resnet50": (95.5, 120), "chinese_": (11.2, 407)}


def counted_size(architecture: str) -> tuple[float, float] | None:
    """Billion multiply-adds and megabytes of a network whose numbers nobody publishes; None for all others."""
    return next((facts for name, facts in _COUNTED.items() if architecture.startswith(name)), None)


def of(pool: profiles.Pool, step: str, model: profiles.Model, data_set: str) -> tuple[float, float, float]:
    """Images through the network, hours with one GPU, gigabytes that are left; zeros where nothing is known."""
    if pool.task != "imagenet":
        return _of_counted(pool, step, model, data_set)
    from ..extraction import networks  # loads torch, as the next two
    from .datasets import torchvision_datasets as datasets
    from .tasks import imagenet

    if data_set not in datasets.ENTRIES:
        return 0, 0.0, 0.0
    entry = datasets.ENTRIES[data_set]
    network = networks.checkpoint(model.architecture, imagenet.weights_of(pool), "own")
    wide = 224 if pool.pretrain["transform"] == "released" else network.transform.crop
    gigaflops = network.gigaflops * (wide / network.transform.crop) ** 2
    n_train = n_scored_on(pool, data_set)
    if step == "extract":
        return n_train, _seconds(n_train, gigaflops) / 3600, 4e-9 * n_train * (N_FEATURES + N_SOURCE_CLASSES)
    if step == "score":
        return 0, n_train / SCORED_PER_S / 3600 / 2, 0.0  # two at a time
    recipe = pool.pretrain if step == "pretrain" else pool.finetune_on(data_set)
    if "epochs" not in recipe:
        return 0, 0.0, 0.0
    seen = recipe["epochs"] * (n_train if pool.max_per_class else entry.n_train)
    seconds = _seconds(seen, TRAINING * gigaflops) + _seconds(entry.n_test, gigaflops)
    return seen + entry.n_test, seconds / 3600, network.megabytes / 1000 if step == "pretrain" else 0.0


def _of_counted(pool: profiles.Pool, step: str, model: profiles.Model, data_set: str) -> tuple[float, float, float]:
    if (known := counted_size(model.architecture)) is None:
        return 0, 0.0, 0.0
    gigaflops, megabytes = known
    stored = megabytes / 1000 if step == "pretrain" else 0.0
    if step == "score" or data_set not in manual_data.ENTRIES:
        return 0, 0.0, stored
    entry = manual_data.ENTRIES[data_set]
    if step == "extract":
        return entry.n_train, _seconds(entry.n_train, gigaflops) / 3600, 0.0
    recipe = pool.pretrain if step == "pretrain" else pool.finetune_on(data_set)
    seen = recipe["epochs"] * entry.n_train
    seconds = _seconds(seen, TRAINING * gigaflops) + _seconds(entry.n_test, gigaflops)
    return seen + entry.n_test, seconds / 3600, stored


def n_scored_on(pool: profiles.Pool, data_set: str) -> int:
    """Images of a target of the papers that are scored on."""
    from .datasets import torchvision_datasets as datasets

    entry = datasets.ENTRIES[data_set]
    released = data_set in datasets.NINE_TENTHS and pool.extract["split"] == "released"
    n_scored = entry.n_train * 9 // 10 if released else entry.n_train
    return min(n_scored, pool.max_per_class * entry.n_classes) if pool.max_per_class else n_scored


def memory(pool: profiles.Pool, step: str, model: profiles.Model, data_set: str) -> float:
    """Gigabytes of memory that a job needs; 0 for small networks. Scoring holds the features and two copies."""
    if pool.task != "imagenet":
        return GB_OF_TRAINING if step != "score" and counted_size(model.architecture) else 0.0
    return 3 * of(pool, "extract", model, data_set)[2] if step == "score" else GB_OF_TRAINING


def _seconds(images: float, gigaflops: float) -> float:
    """Decoding on the CPU and the network on the GPU go on side by side."""
    return images * max(1 / (DECODED_PER_S * CORES), gigaflops / GIGAFLOPS_PER_S)
