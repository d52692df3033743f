"""Images per second of feature extraction: the package's loop against the network alone, and against the released way.

``python -m bench.extraction FOLDER``: FOLDER holds images in one folder per class, below ``train/``.
"""

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from ncrepro import extraction
from ncrepro.datasets import folders
from ncrepro.models import torchvision_models as models

N_IMAGES = {"cuda": 4096, "cpu": 64}


class _Prepared(Dataset):
    """Images as the usual loop sees them: decoded, cropped and normalised one by one, float32 of shape (3, h, w)."""

    def __init__(self, photos, transform):
        self.photos, self.transform = photos, transform

    def __len__(self):
        return len(self.photos)

    def __getitem__(self, i):
        pixels = torch.from_numpy(np.array(self.transform(self.photos.image(i)))).permute(2, 0, 1).float() / 255
        mean, std = (torch.tensor(x).view(3, 1, 1) for x in (self.transform.mean, self.transform.std))
        return (pixels - mean) / std, int(self.photos.labels[i])


def network_alone(network, photos, transform, place):
    """The forward passes and nothing else: one batch, made beforehand, again and again."""
    size = min(extraction.BATCH[place.type], len(photos))
    batch = np.stack([transform(photos.image(i)) for i in range(size)])
    batch = transform.normalise(torch.from_numpy(batch).to(place).permute(0, 3, 1, 2))
    network.to(place, memory_format=torch.channels_last).eval()

    def run():
        with torch.inference_mode():
            for start in range(0, len(photos), size):
                network(batch[: len(photos) - start])

    return run


def released_way(network, photos, transform, place):
    """A Python loop over the default loader, a hook, the features of every batch copied to the CPU and appended."""
    network = network.to(place, memory_format=torch.contiguous_format).eval()

    def run():
        features, probs = [], []
        hook = models.head(network).register_forward_hook(lambda _, inputs, __: features.append(inputs[0].cpu()))
        with torch.no_grad():
            for images, _ in DataLoader(_Prepared(photos, transform), batch_size=64):
                probs.append(network(images.to(place)).softmax(1).cpu())
        hook.remove()
        return torch.cat(features), torch.cat(probs)

    return run


def ours(network, photos, transform, place):
    return lambda: extraction.extract(network, photos, transform, on=place)


def measure(folder: Path, names=("resnet50", "mobilenet_v2"), rounds: int = 3, place: torch.device | None = None) -> pd.DataFrame:
    """Medians over rounds in which the loops take turns, random weights: (model, loop, images_per_s, images_per_cpu_s, of_network)."""
    place = place or extraction.device()
    photos = folders.tree(folder, folder.name, "train")
    rows = []
    for name in names:
        network, transform = models.build(name).eval(), models.checkpoint(name).transform
        few = photos.take(np.linspace(0, len(photos) - 1, N_IMAGES[place.type]).astype(int) % len(photos))
        taken = {loop.__name__: [] for loop in (network_alone, ours, released_way)}
        for turn in range(rounds + 1):
            for loop in (network_alone, ours, released_way):
                run = loop(network, few, transform, place)
                wall, cpu = time.perf_counter(), time.process_time()
                run()
                if place.type == "cuda":
                    torch.cuda.synchronize()
                if turn:  # the first warms up
                    taken[loop.__name__].append((time.perf_counter() - wall, time.process_time() - cpu))
        wall, cpu = ({loop: np.median([t[i] for t in times]) for loop, times in taken.items()} for i in (0, 1))
        cost = wall if place.type == "cuda" else cpu  # on a CPU that others use too, seconds of it say more than the clock
        rows += [
            {"model": name, "loop": loop, "images_per_s": len(few) / wall[loop], "images_per_cpu_s": len(few) / cpu[loop],
             "of_network": cost["network_alone"] / cost[loop]} for loop in taken
        ]  # fmt: skip
    return pd.DataFrame(rows)


if __name__ == "__main__":
    print(measure(Path(sys.argv[1])).round(3).to_string(index=False))
