"""The most memory that this process has held, from a point in time on."""

import resource
import sys


def peak_mb() -> float:
    """The most memory this process has held since `reset_peak`, in MB."""
    if sys.platform == "linux":
        return _status("VmHWM")
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def reset_peak() -> float:
    """Start a new peak (on Linux; elsewhere it is that of the whole process) and return the memory held now, in MB."""
    if sys.platform != "linux":
        return peak_mb()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return _status("VmRSS")


def _status(field: str) -> float:
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(field + ":")) / 1e3
