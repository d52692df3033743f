"""Processes that begin as copies of this one, and so need not load any library again."""

import ctypes
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress

PR_SET_PDEATHSIG = 1  # Linux's number for "tell me when the process that started me ends"
ENDS = (signal.SIGINT, signal.SIGTERM)


class Forked:
    """A copy of this process that does one thing, and ends if this one is killed; asked as a `subprocess.Popen` is.

    Parameters
    ----------
    work : function () -> int
        What the copy does; the status that it exits with.
    """

    stdin = stdout = stderr = None

    def __init__(self, work: Callable[[], int]):
        sys.stdout.flush()
        self.returncode: int | None = None
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)  # until an end of the copy cannot go on as this process
        self.pid = os.fork()
        if not self.pid:
            _do(work, mask)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def poll(self) -> int | None:
        """Its status, None while it runs."""
        if self.returncode is None:
            number, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if number else None
        return self.returncode

    def wait(self) -> int:
        """Its status, once it has ended."""
        while self.poll() is None:
            time.sleep(0.01)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)


def _do(work: Callable[[], int], mask: set[int]) -> None:
    """It never returns, because the copy must not end anything that the first process has begun."""
    status = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = work()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except KeyboardInterrupt:
        status = 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
