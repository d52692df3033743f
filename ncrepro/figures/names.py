"""How the names in the tables read on the page."""

from ..metrics import registry

LABELS = {term.name: f"{term.label} alone" for term in registry.METRICS["face"].terms} | {
    "static_baseline_listed": "static, listed models",
    "random": "random choice",
    "other_seed": "another fine-tuning",
    "other_target": "accuracy on another target",
    "other_truth": "the other table",
    "nc2_a": "NC2(A)",
    "selfsupervised": "self-supervised",
    "weighted_kendall": r"weighted Kendall $\tau_w$",
    "pearson": r"Pearson $\rho$",
    "spearman": r"Spearman $\rho_s$",
    "aircraft": "Aircraft",
    "caltech101": "Caltech",
    "cars": "Cars",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "dtd": "DTD",
    "flowers": "Flowers",
    "food": "Food",
    "pets": "Pets",
    "sun397": "SUN",
    "voc2007": "VOC",
    "cub": "CUB",
    "gtsrb": "GTSRB",
    "stl10": "STL-10",
    "ncti_table1": "NCTI Table 1",
    "ncti_table2": "NCTI Table 2",
    "insdis": "InsDis",
    "moco_v1": "MoCo v1",
    "moco_v2": "MoCo v2",
    "pcl_v1": "PCL v1",
    "pcl_v2": "PCL v2",
    "infomin": "InfoMin",
    "simclr_v1": "SimCLR v1",
    "simclr_v2": "SimCLR v2",
    "byol": "BYOL",
    "swav": "SwAV",
    "deepcluster_v2": "DeepCluster-v2",
    "sela_v2": "SeLa-v2",
    "face_table1": "FaCe Table 1",
    "face_table2": "FaCe Table 2",
    "face_table3": "FaCe Table 3",
}  # names in the tables -> names on the page, beside those in the registry; other names are shown as they are


def label(name: str) -> str:
    """The name of a metric, target or statistic as a figure shows it."""
    return registry.label(name) or LABELS.get(name, name)
