"""The most memory that this process has held, from a point in time on."""

import resource
import sys


def peak_mb() -> float:
    """The most memory this process has held since `reset_peak`, in MB."""
    if (peak := _status("VmHWM")) is not None:
        return peak
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def reset_peak() -> float:
    """Start a new peak, where the system lets us (else that of the process stays), and return the MB held now."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        return peak_mb()
    return _status("VmRSS") or peak_mb()


def _status(field: str) -> float | None:
    try:
        with open("/proc/self/status") as file:
            return next((int(line.split()[1]) / 1e3 for line in file if line.startswith(field + ":")), None)
    except OSError:
        return None
