"""Images per second of feature extraction: the package's loop against the network alone, and against the released way.

The images are tiles of scikit-learn's two sample photographs, as JPEG files.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader, Dataset

from ncrepro.extraction import devices, features, folders, last_layer, networks

N_IMAGES = {"cuda": 4096, "cpu": 64}  # a small GPU batch would measure only how the loops start


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
    size = min(features.BATCH[place.type], len(photos))
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
        H, probs = [], []
        hook = last_layer.find(network).register_forward_hook(lambda _, inputs, __: H.append(inputs[0].cpu()))
        with torch.no_grad():
            for images, _ in DataLoader(_Prepared(photos, transform), batch_size=64):
                probs.append(network(images.to(place)).softmax(1).cpu())
        hook.remove()
        return torch.cat(H), torch.cat(probs)

    return run


def ours(network, photos, transform, place):
    return lambda: features.of_photos(network, photos, transform, place=place)


def write_photos(folder: Path, n: int = 64) -> folders.Photos:
    """Tiles of 256 x 256 pixels, cut anywhere, one class per photograph."""
    draws, pictures = np.random.default_rng(0), load_sample_images().images
    for i in range(n):
        picture = pictures[i % 2]
        top, left = (draws.integers(side - 256) for side in picture.shape[:2])
        file = folder / "train" / str(i % 2) / f"{i}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture[top : top + 256, left : left + 256]).save(file, quality=90)
    return folders.tree(folder, "tiles", "train")


def measure(names: tuple[str, ...], rounds: int, n_images: int | None = None) -> pd.DataFrame:
    """Medians over rounds in which the loops take turns, random weights.

    Returns
    -------
    DataFrame (model, device, loop, images_per_s, images_per_cpu_s, of_network)
        ``of_network``: speed, as a share of that of the network alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _measure(write_photos(Path(folder)), names, rounds, n_images)


def _measure(photos: folders.Photos, names: tuple[str, ...], rounds: int, n_images: int | None) -> pd.DataFrame:
    rows, place = [], devices.cuda_or_cpu()
    for name in names:
        network, transform = networks.build(name).eval(), networks.checkpoint(name).transform
        few = photos.take(np.arange(n_images or N_IMAGES[place.type]) % len(photos))
        durations = {loop.__name__: [] for loop in (network_alone, ours, released_way)}
        for turn in range(rounds + 1):
            for loop in (network_alone, ours, released_way):
                run = loop(network, few, transform, place)
                wall, cpu = time.perf_counter(), time.process_time()
                run()
                if place.type == "cuda":
                    torch.cuda.synchronize()
                if turn:  # the first warms up
                    durations[loop.__name__].append((time.perf_counter() - wall, time.process_time() - cpu))
        wall, cpu = ({loop: np.median([t[i] for t in times]) for loop, times in durations.items()} for i in (0, 1))
        cost = (
            wall if place.type == "cuda" else cpu
        )  # other programs use the CPU too, so count its seconds, not the clock's
        rows += [
            {
                "model": name,
                "device": place.type,
                "loop": loop,
                "images_per_s": len(few) / wall[loop],
                "images_per_cpu_s": len(few) / cpu[loop],
                "of_network": cost["network_alone"] / cost[loop],
            }
            for loop in durations
        ]
    return pd.DataFrame(rows)
