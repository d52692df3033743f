"""Memory is measured where the system says it, and estimated elsewhere."""

import builtins

import pytest

from ncrepro.store import memory


def test_the_peak_is_of_what_was_held_since():
    held = memory.reset_peak()
    assert held > 10 and memory.peak_mb() >= 0.9 * held


@pytest.mark.parametrize("closed", ["/proc/self/clear_refs", "/proc/self/status"])
def test_a_system_that_says_nothing_does_not_stop_a_ranking(monkeypatch, closed):
    whole = builtins.open

    def guarded(path, *arguments, **options):
        if path == closed:
            raise PermissionError(13, "no", path)
        return whole(path, *arguments, **options)

    monkeypatch.setattr(builtins, "open", guarded)
    assert memory.reset_peak() > 10 and memory.peak_mb() > 10
