"""Work on a Dask cluster: ``NCREPRO_CLUSTER`` says where it is, and then every long step goes there.

The engine is dask.distributed. This module adds what it lacks. It decides whether a worker computes as this process
does, which worker may take which work, how files reach workers that do not share this folder, and when another worker
must do the work.
"""

import hashlib
import importlib.util
import io
import logging
import os
import pickle
import platform
import pydoc
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from errno import EDQUOT, EIO, ENOSPC, EROFS
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from . import artifacts, paths, pinned_arithmetic
from .schema import refuse_unknown

LOOK_S = 1.0  # how often the team is looked at
ANSWER_S = 15.0  # how long a scheduler may take to answer
PATIENCE_S = 600.0  # how long a scheduler or the last worker may be away
SLOW = 20  # work hangs if it takes this many times the longest time before, or the estimate
SLOW_S = 1800.0  # but nothing hangs sooner
DEATHS = 3  # if so many workers died in the same work, give up
_BAD_DISK = (ENOSPC, EDQUOT, EROFS, EIO)


class Work(NamedTuple):
    """What one piece of work asks of the machine that does it."""

    label: str = ""
    reads: tuple[Path, ...] = ()  # artefacts that must be there
    data: str = ""  # the data set that it works on: who has worked on it before has it in memory
    lacks: Callable[[], str] | None = None  # asked on each host before anything begins: what is missing there
    hours: float = 0.0  # how long it takes, about; 0 is not known
    gigabytes: float = 0.0  # how much memory it needs, about
    gpu: bool = False  # goes to workers with a GPU, if there are any


@dataclass
class Worker:
    """One process of the cluster, as this client sees it."""

    address: str
    host: str
    shares: bool  # does it see this process's files?
    gpus: int
    slots: int
    gigabytes: float
    busy: int = 0
    fit: bool = True
    warm: set[str] = field(default_factory=set)


class Done(NamedTuple):
    """What a worker sends back."""

    result: Any
    host: str
    seconds: float
    files: list[bytes]  # what it wrote, where the worker does not share this folder


# Who is there ---------------------------------------------------------------------------------------------------------


def address() -> str:
    """``NCREPRO_CLUSTER``: ``tcp://host:8786``, ``local:4``, or a YAML file; empty: all happens on this machine."""
    return os.environ.get("NCREPRO_CLUSTER", "").strip()


@cache
def client():
    """The connection to the cluster, with workers that compute as this process does.

    Raises
    ------
    ValueError
        If ``NCREPRO_CLUSTER`` has no meaning, or a worker has other versions; the message names the worker.
    OSError
        If nobody answers.
    """
    distributed = _distributed()
    where = address()
    kind, _, rest = where.partition(":")
    if kind == "local":
        if not rest.isdecimal() or not int(rest):
            raise ValueError(f"NCREPRO_CLUSTER is {where!r}; local:4 starts four workers on this machine")
        cluster = distributed.LocalCluster(
            n_workers=int(rest), threads_per_worker=1, dashboard_address=":0"
        )  # any port that is free
    elif kind in ("tcp", "tls"):
        cluster = where
    elif where.endswith((".yaml", ".yml")):
        cluster = _described(Path(where))
    else:
        raise ValueError(
            f"NCREPRO_CLUSTER is {where!r}; it may be an address (tcp://host:8786), local:4, or a YAML file that "
            "names a Dask cluster"
        )
    try:
        found = distributed.Client(cluster, timeout=ANSWER_S, name="ncrepro")
    except (OSError, TimeoutError):
        raise OSError(f"no Dask scheduler answers at {where} (NCREPRO_CLUSTER)") from None
    if importlib.util.find_spec("bokeh"):  # which draws it
        print(f"dashboard: {found.dashboard_link}")
    return found


@contextmanager
def started() -> Iterator[None]:
    """In this context all started processes share one cluster for ``local:4`` or a YAML file. Otherwise each would
    start its own. So workers load the libraries, or wait in a queue, only once.
    """
    where = address()
    if not where or where.startswith(("tcp:", "tls:")):  # there is none, or it runs
        yield
        return
    try:
        if not client().scheduler.address.startswith("tls:"):  # no other process has its keys
            os.environ["NCREPRO_CLUSTER"] = client().scheduler.address
        yield
    finally:
        leave()
        os.environ["NCREPRO_CLUSTER"] = where


def _distributed():
    try:
        import distributed
    except ImportError:
        raise ValueError("NCREPRO_CLUSTER needs dask.distributed: pip install 'ncrepro[cluster]'") from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is said here
    return distributed


def _described(file: Path):
    """A cluster as YAML has it: ``cluster`` (a class of dask-jobqueue or dask-kubernetes), ``options``, ``workers``."""
    try:
        description = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} cannot be read: {str(error).splitlines()[0]}") from None
    known = ("cluster", "options", "workers")
    if not isinstance(description, dict) or "cluster" not in description:
        raise ValueError(f"{file}: `cluster` is missing; name a class, as in cluster: dask_jobqueue.SLURMCluster")
    for key in description:
        refuse_unknown("key", key, known, str(file))
    workers = description.get("workers", 1)
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 1:
        raise ValueError(f"{file}: workers is {workers!r}; it is a number from 1 on")
    if (make := _located(str(description["cluster"]))) is None:
        raise ValueError(f"{file}: there is no {description['cluster']} here; is its package installed?")
    options = description.get("options") or {}
    if not isinstance(options, dict):
        raise ValueError(f"{file}: options are {options!r}; they are names with values, as in queue: gpu")
    if getattr(getattr(make, "job_cls", None), "submit_command", None):  # what no queue starts has this environment
        pins = [
            f"export {name}={shlex.quote(value)}"
            for name, value in pinned_arithmetic.PINS.items()
            if pinned_arithmetic.wants_exact()
        ]
        options = options | {"job_script_prologue": [*pins, *options.get("job_script_prologue", ())]}
    try:
        cluster = make(**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: options: {str(error).splitlines()[0]}") from None
    if not hasattr(cluster, "_correct_state"):
        cluster.scale(workers)
        return cluster
    try:
        cluster.sync(_scale, cluster, workers)
    except (OSError, RuntimeError) as error:
        cluster.close(timeout=5)
        raise OSError(f"{description['cluster']} starts no workers: {' '.join(str(error).split())} ({file})") from None
    return cluster


async def _scale(cluster: Any, workers: int) -> None:
    """Ask for workers, and raise an error if the queue takes none: `scale` alone does not report that."""
    from distributed import Status

    cluster.scale(workers)
    try:
        await cluster._correct_state()
    except BaseException:
        for job in cluster.workers.values():
            if job.status == Status.created:  # it was never there, and cannot be closed otherwise
                job.status = Status.failed
        raise


def _located(name: str) -> Callable | None:
    """What ``name`` means; None if there is no such thing. Importing dask-jobqueue changes what Ctrl-C does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return pydoc.locate(name)
    except pydoc.ErrorDuringImport:
        return None
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@cache
def versions() -> dict[str, str]:
    """What decides numbers and must not differ between the machines: Python, the libraries, and this package's code."""
    package = Path(__file__).resolve().parents[1]
    code = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        code.update(file.relative_to(package).as_posix().encode() + file.read_bytes())
    ours = {"Python": ".".join(map(str, sys.version_info[:2])), "the code of ncrepro": code.hexdigest()[:12]}
    return ours | {name: pinned_arithmetic.version(name) for name in pinned_arithmetic.DECIDE}


def _greet(token: str) -> dict:
    """What a worker says of itself."""
    return {
        "host": platform.node(),
        "versions": versions(),
        "inexact": pinned_arithmetic.why_not_exact(),
        "shares": (paths.caches() / token).exists(),
    }


class Team:
    """The workers, and what is known of them."""

    def __init__(self):
        self.client = client()
        self.workers: dict[str, Worker] = {}  # by address
        self.exclusions: set[str] = set()  # addresses of those that are left out

    def look(self, first: bool = False) -> None:
        """Note which workers have come and gone. One that computes differently stops the work at first; later it is
        left out.
        """
        there = self.client.scheduler_info(n_workers=-1)["workers"]
        for lost_address in self.workers.keys() - there.keys():
            del self.workers[lost_address]
        if new := sorted(there.keys() - self.workers.keys() - self.exclusions):
            token = f".{secrets.token_hex(4)}.here"
            artifacts.write(paths.caches() / token, b"")
            try:
                greetings = self.client.run(_greet, token, workers=new, on_error="return")
            finally:
                (paths.caches() / token).unlink(missing_ok=True)
            for at in new:
                greeting, known = greetings.get(at), there[at]
                if isinstance(greeting, OSError):
                    continue  # gone again, or not quite there: asked once more at the next look
                if why := self._unfit(greeting, known):
                    if first:
                        raise ValueError(why)
                    self.exclusions.add(at)
                    print(f"{why}; it is left out")
                    continue
                gpus = int((known.get("resources") or {}).get("GPU", 0))
                memory = (known.get("memory_limit") or 0) / 1e9
                self.workers[at] = Worker(at, greeting["host"], greeting["shares"], gpus, known["nthreads"], memory)

    @staticmethod
    def _unfit(greeting: dict | Exception | None, known: dict) -> str:
        """Why a worker cannot be used, in one line; empty if it can."""
        if not isinstance(greeting, dict):
            return f"worker {known['name']} on {known['host']} cannot load ncrepro: {greeting}"
        for name, ours in versions().items():
            if (theirs := greeting["versions"].get(name)) != ours:
                return f"{name} is {theirs} on {greeting['host']} (worker {known['name']}), and {ours} here"
        if greeting["inexact"] and not pinned_arithmetic.why_not_exact():
            return (
                f"{greeting['host']} (worker {known['name']}) would give other last digits: {greeting['inexact']}; "
                "start workers with `python -m ncrepro worker ADDRESS`"
            )
        return ""

    def gather(self) -> None:
        """Wait until somebody is there."""
        until = time.monotonic() + PATIENCE_S
        while not self.workers:
            self.look(first=True)
            if not self.workers:
                if time.monotonic() > until:
                    raise TimeoutError(f"no worker has come to {address()} in {PATIENCE_S / 60:.0f} minutes")
                time.sleep(min(LOOK_S, 0.2))

    def check(self, works: Iterable[Work]) -> None:
        """Refuse work before it begins if a host lacks what it reads."""
        checks = {work.data: pack(work.lacks) for work in works if work.lacks is not None}
        if not checks:
            return
        by_host = {worker.host: worker.address for worker in self.workers.values()}
        found = {host: self.client.submit(_lacking, checks, workers=[at], pure=False) for host, at in by_host.items()}
        for host, missing in self.client.gather(found).items():
            if missing:
                raise FileNotFoundError(f"{host} lacks what this work reads: {'; '.join(missing)}")

    def free(self, work: Work) -> Worker | None:
        """The worker for some work: with a GPU if asked for and there is one, enough memory, and the data loaded if
        possible.
        """
        fit = [worker for worker in self.workers.values() if worker.fit]
        if work.gpu and any(worker.gpus for worker in fit):
            fit = [worker for worker in fit if worker.gpus]
        roomy = [worker for worker in fit if not worker.gigabytes or worker.gigabytes >= work.gigabytes]
        if fit and not roomy:
            raise MemoryError(
                f"{work.label} needs about {work.gigabytes:.0f} GB, more than any worker has "
                f"({max(worker.gigabytes for worker in fit):.0f} GB)"
            )
        idle = [worker for worker in roomy if worker.busy < (worker.gpus if work.gpu and worker.gpus else worker.slots)]
        return min(idle, key=lambda worker: (work.data not in worker.warm, worker.busy, worker.address), default=None)


def _lacking(checks: dict[str, bytes]) -> list[str]:
    return [missing for packed in checks.values() if (missing := pickle.loads(packed)())]


# How work travels -----------------------------------------------------------------------------------------------------


def pack(what: Any) -> bytes:
    """Pickled, with every path below this compendium's folders as one below those of whoever unpacks it."""
    import cloudpickle

    class Packer(cloudpickle.Pickler):
        def reducer_override(self, obj):
            if isinstance(obj, Path):
                for place, folder in _places().items():
                    if obj.is_relative_to(folder):
                        return _unpacked, (place, obj.relative_to(folder).as_posix())
            return super().reducer_override(obj)

    buffer = io.BytesIO()
    Packer(buffer).dump(what)
    return buffer.getvalue()


def _places() -> dict[str, Path]:
    return {"downloads": paths.downloads(), "caches": paths.caches(), "root": paths.root()}


def _unpacked(place: str, relative: str) -> Path:
    return _places()[place] / relative


def _do(packed: bytes, files: list[tuple[bytes, bytes]] | None) -> Done:
    """On a worker: put the files there that it lacks, do the work, and say what it took."""
    for place, content in files or ():
        path = pickle.loads(place)
        if not path.is_file() or path.read_bytes() != content:
            artifacts.write(path, content)
    function, item, writes = pickle.loads(packed)
    started = time.process_time()
    try:
        result = function(item)
    except Exception as error:
        error.add_note(f"on {platform.node()}")
        raise
    seconds = time.process_time() - started
    made = [path.read_bytes() for path in writes] if files is not None else []
    return Done(result, platform.node(), seconds, made)


# The work -------------------------------------------------------------------------------------------------------------


def side_by_side(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    asks: Callable[[Any], Work] = lambda item: Work(str(item)),
    writes: Callable[[Any], tuple[Path, ...]] = lambda item: (),
) -> Iterator[tuple[Any, Done]]:
    """``function(item)`` of every item, the longest first, each on a worker that has what it asks for; as they end.

    A worker that dies loses only what it was doing, and another does it. The same happens if its disk is full, or its
    work hangs. A scheduler may be away for some minutes.

    Parameters
    ----------
    function : function (item) -> result
    items : iterable
    asks : function (item) -> Work
    writes : function (item) -> tuple of Path
        The files that it leaves: workers that do not share this folder send them.

    Raises
    ------
    ValueError
        If a worker has other versions than this process.
    FileNotFoundError
        If a host lacks data.
    TimeoutError
        If nobody comes back, or the same work hangs twice.
    """
    works = [(item, asks(item)) for item in items]
    if not works:
        return
    run = _Run(function, writes, works)
    try:
        while run.waiting or run.running:
            yield from run.turn()
    finally:
        run.end()


class _Run:
    """What waits, what runs where, and since when."""

    def __init__(self, function: Callable, writes: Callable, works: list[tuple[Any, Work]]):
        self.function, self.writes = function, writes
        self.waiting = deque(sorted(works, key=lambda pair: -pair[1].hours))  # as given where nothing is known
        self.running: dict[Any, tuple[Any, Work, Worker, float]] = {}  # future -> item, ..., when it was handed out
        self.longest, self.seen = 0.0, time.monotonic()
        self.died, self.hung = Counter(), Counter()  # how often, by label
        self.team = Team()
        self.team.gather()
        self.team.check(work for _, work in works)

    def turn(self) -> list[tuple[Any, Done]]:
        """Hand out, wait a moment, and give what is done."""
        distributed = _distributed()
        try:
            self.team.look()
            self.take_back()
            self.hand_out()
            distributed.wait(list(self.running), timeout=LOOK_S, return_when="FIRST_COMPLETED")
        except TimeoutError:
            pass  # nothing is done yet
        except (OSError, distributed.CancelledError):
            if not self.is_cut_off():
                raise
        if self.is_cut_off():
            self.connect_again()
            return []
        done = [found for future in list(self.running) if future.done() and (found := self.settle(future))]
        self.watch()
        return done

    def is_cut_off(self) -> bool:
        """Is the scheduler gone, or another one that does not know of this work?"""
        return self.team.client.status != "running" or any(
            future.status in ("cancelled", "lost") for future in self.running
        )

    def hand_out(self) -> None:
        """Give every free worker something to do."""
        carried = not all(worker.shares for worker in self.team.workers.values())
        passed_over = []
        while self.waiting and any(worker.fit and worker.busy < worker.slots for worker in self.team.workers.values()):
            item, work = self.waiting.popleft()
            worker = self.team.free(work)
            if worker is None:
                passed_over.append((item, work))
                continue
            future = self.team.client.submit(
                _do,
                pack((self.function, item, self.writes(item))),
                [(pack(path), path.read_bytes()) for path in work.reads] if carried else None,
                key=f"{work.label or 'work'}-{secrets.token_hex(4)}",
                workers=[worker.address],
                resources={"GPU": 1} if work.gpu and worker.gpus else {},
                pure=False,
            )
            worker.busy += 1
            worker.warm.add(work.data)
            self.running[future] = item, work, worker, time.monotonic()
        self.waiting.extendleft(reversed(passed_over))

    def take_back(self) -> None:
        """The work of a worker that is gone waits for another worker."""
        for future, (item, work, worker, _) in list(self.running.items()):
            if worker.address in self.team.workers or future.done():
                continue
            del self.running[future]
            future.cancel(force=True)
            self.died[work.label] += 1
            if self.died[work.label] >= DEATHS:
                raise ChildProcessError(
                    f"{DEATHS} workers died while they did {work.label}, most often for lack of memory"
                )
            self.waiting.appendleft((item, work))

    def settle(self, future: Any) -> tuple[Any, Done] | None:
        """The result of what has ended; None if another worker has to do it."""
        item, work, worker, started = self.running.pop(future)
        worker.busy -= 1
        error = future.exception()
        if isinstance(error, OSError) and error.errno in _BAD_DISK:
            worker.fit = False
            if not any(other.fit for other in self.team.workers.values()):
                raise error
            print(f"{worker.host}: {error.strerror}; its work goes to others")
            self.waiting.appendleft((item, work))
            return None
        if error is not None:
            raise error
        done = future.result()
        for path, content in zip(self.writes(item), done.files, strict=False):
            artifacts.write(path, content)
        self.longest = max(self.longest, time.monotonic() - started)
        return item, done

    def watch(self) -> None:
        """Is anybody left, and does nothing hang?"""
        now = time.monotonic()
        if self.team.workers:
            self.seen = now
        elif now - self.seen > PATIENCE_S:
            raise TimeoutError(f"no worker is left at {address()}; what was finished is kept: run this again")
        for future, (item, work, worker, started) in list(self.running.items()):
            if now - started <= max(SLOW_S, SLOW * max(self.longest, 3600 * work.hours)):
                continue
            self.hung[work.label] += 1
            del self.running[future]
            worker.fit = False
            future.cancel(force=True)
            self.team.client.restart_workers([worker.address], timeout=30, raise_for_error=False)
            if self.hung[work.label] > 1:
                raise TimeoutError(f"{work.label} hangs: on {worker.host}, and before that on another worker")
            print(f"{work.label} hangs on {worker.host}: that worker is started again, and another does the work")
            self.waiting.appendleft((item, work))

    def connect_again(self) -> None:
        """Wait for a scheduler that is away, and give it everything that is not done."""
        self.waiting.extendleft((item, work) for item, work, _, _ in self.running.values())
        self.running.clear()
        if self.team.client.cluster is not None:  # it was this process's own
            raise ConnectionError(f"the scheduler of {address()} has ended")
        print(f"the scheduler at {address()} is away; waiting for it")
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            leave()
            try:
                self.team = Team()
                self.team.gather()
                return
            except OSError:
                time.sleep(LOOK_S)
        raise TimeoutError(
            f"the scheduler at {address()} has been away for {PATIENCE_S / 60:.0f} minutes; what was finished is kept: "
            "run this again"
        )

    def end(self) -> None:
        """Nothing goes on after an error here."""
        if self.running and self.team.client.status == "running":
            self.team.client.cancel(list(self.running), force=True)


def leave() -> None:
    """Forget the connection; `client` makes another."""
    if client.cache_info().currsize:
        found = client()
        client.cache_clear()
        found.close(timeout=2)
        if found.cluster is not None:
            found.cluster.close(timeout=5)


def start_workers(scheduler: str, number: int | None = None) -> int:
    """Workers of this machine for a scheduler, until they are stopped: one per GPU, and one per core otherwise.

    Parameters
    ----------
    scheduler : str
        ``tcp://host:8786``.
    number : int, optional
        Of workers without a GPU; None takes the cores, or none where there are GPUs.
    """
    _distributed()
    gpus = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
    cores = number if number is not None else 0 if gpus else os.cpu_count()
    command = [sys.executable, "-m", "distributed.cli.dask_worker", scheduler, "--nthreads", "1", "--no-dashboard"]
    kinds = [(["--resources", "GPU=1"], str(i)) for i in range(gpus)]
    kinds += [(["--nworkers", str(cores)], "-1")] if cores else []
    starts = [
        partial(subprocess.Popen, [*command, *more], env=os.environ | {"CUDA_VISIBLE_DEVICES": gpu})
        for more, gpu in kinds
    ]
    running = [start() for start in starts]
    try:
        while running:  # a worker ends when its scheduler goes away, and asks for it again
            for i, process in enumerate(running):
                if process.poll() is not None:
                    running[i] = starts[i]()
            time.sleep(LOOK_S)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    return 0
