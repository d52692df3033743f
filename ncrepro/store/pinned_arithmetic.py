"""The same bytes on every x86-64 CPU with AVX2: which instructions and how many threads NumPy, SciPy and torch may use.

The libraries read these settings once, when they are loaded, so `pin` is the first thing that importing this package
does. ``NCREPRO_ARITHMETIC=native`` leaves the choice to the libraries: faster on some CPUs, with other last digits.
"""

import os
import platform
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # sums are split by threads
PINS = {
    "ATEN_CPU_CAPABILITY": "avx2",  # torch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # torch's convolutions; the second name is the older one
    "DNNL_MAX_CPU_ISA": "AVX2",
    "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",  # no bfloat16 inside
    "DNNL_DEFAULT_FPMATH_MODE": "STRICT",
    # torch's matrix products and decompositions; any other value means something else on an AMD
    "MKL_CBWR": "COMPATIBLE",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",  # torch's exp and log, where MKL obeys
    "OPENBLAS_CORETYPE": "Haswell",  # NumPy's and SciPy's
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # NumPy's exp, log, sums
    **ONE_THREAD,
}
UNSET = ("OPENBLAS_L2_SIZE", "NPY_ENABLE_CPU_FEATURES")  # would undo some of this
LOADED_ONCE = ("numpy", "scipy", "torch")
# Packages whose version decides numbers: they compute, draw the data sets, or have docstrings that are a data set.
DECIDE = ("numpy", "scipy", "scikit-learn", "pandas", "torch", "torchvision", "segmentation_models_pytorch",
          "transformers", "tokenizers", "matplotlib", "pillow")  # fmt: skip

_CHECKOUT = Path(__file__).resolve().parents[2]
_loaded_before: list[str] = []  # libraries that came before the pins


def pin() -> None:
    """Set the environment of this process and its children; nothing where `wants_exact` says no."""
    if not wants_exact() or _machine():
        return
    if any(os.environ.get(name) != value for name, value in PINS.items()) or any(name in os.environ for name in UNSET):
        _loaded_before.extend(name for name in LOADED_ONCE if name in sys.modules)
    os.environ.update(PINS)
    for name in UNSET:
        os.environ.pop(name, None)


def wants_exact() -> bool:
    """Whether to pin: in a checkout of the compendium, unless the user says otherwise, but not in an installed
    package.
    """
    choice = os.environ.get("NCREPRO_ARITHMETIC") or "exact"
    if choice not in ("exact", "native"):
        raise ValueError(f"NCREPRO_ARITHMETIC is {choice!r}; allowed is 'exact' (the default) or 'native'")
    return choice == "exact" and (_CHECKOUT / "notebooks" / "profiles").is_dir()


def make_torch_deterministic() -> None:
    """Forbid algorithms of torch that may give other bits the next time; not on a GPU, which never gives equal
    bytes.
    """
    import torch  # loaded already by whoever calls this

    if wants_exact() and not torch.cuda.is_available():
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # time spent on what is never read


def why_not_exact() -> str | None:
    """One sentence why numbers of this process need not be the reference's to the last byte; None if they are."""
    return next(filter(None, (check() for check in (_choice, _machine, _order, _gpu, _versions))), None)


def version(distribution: str) -> str:
    """Its version, or that it is missing; 2.15.0+cpu is 2.15.0, and computes as that does."""
    try:
        return metadata.version(distribution).split("+")[0]
    except metadata.PackageNotFoundError:
        return "missing"


def cpu() -> str:
    """The name of the CPU."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def _choice() -> str | None:
    if wants_exact():
        return None
    if os.environ.get("NCREPRO_ARITHMETIC") == "native":
        return "NCREPRO_ARITHMETIC is 'native'"
    return "ncrepro is installed as a library, not run from a checkout of the compendium"


@cache
def _machine() -> str | None:
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        return f"this is {platform.system()} on {platform.machine()}; the reference is of Linux on x86_64"
    missing = {"avx2", "fma"} - set(_cpuinfo().get("flags", "").split())
    return f"this CPU ({cpu()}) lacks {' and '.join(sorted(missing))}" if missing else None


def _order() -> str | None:
    before = " and ".join(_loaded_before)
    return f"{before} came before ncrepro with settings of their own: import ncrepro first" if before else None


def _gpu() -> str | None:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    used = Path("/dev/nvidiactl").exists() and not hidden
    return "a GPU is used; CUDA_VISIBLE_DEVICES=-1 hides it" if used else None


def _versions() -> str | None:
    lines = (_CHECKOUT / "requirements.txt").read_text().splitlines()
    locked = dict(line.split(" ;")[0].split("==") for line in lines if "==" in line)
    for name in DECIDE:
        if (found := version(name)) != locked[name].strip():
            return f"{name} is {found}; the reference was made with {locked[name].strip()} (requirements.txt)"
    return None


@cache
def _cpuinfo() -> dict[str, str]:
    """What Linux says of the first CPU."""
    try:
        with open("/proc/cpuinfo") as lines:
            first = iter(lambda: next(lines, "\n").strip(), "")
            return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in first)}
    except OSError:
        return {}
