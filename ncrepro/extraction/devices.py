"""Where a network works: the GPU if there is one; and a network that is there for a while only."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


def choose(name: str | None = None, kinds: tuple[str, ...] = ("cuda", "mps", "cpu")) -> torch.device:
    """The device called ``name``; None takes the first of ``kinds`` that is there.

    Raises
    ------
    ValueError
        If there is no such device here.
    """
    is_there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    there = [kind for kind in kinds if is_there[kind]]
    if name is not None and str(name).split(":")[0] not in there:
        raise ValueError(f"device is {name!r}; available here: {', '.join(there)}")
    return torch.device(name or there[0])


def cuda_or_cpu() -> torch.device:
    """Where networks are trained, and their features taken: the GPU if there is one."""
    return choose(kinds=("cuda", "cpu"))


@contextlib.contextmanager
def on_device(network: nn.Module, place: torch.device) -> Iterator[None]:
    """A network on a device and in evaluation mode; afterwards its device, its modes and its buffers are as they were
    before.

    The modes are set without ``network.eval()``: a reader's ``train`` may keep some layers in training, merge weights,
    or be a training run.
    """
    modes = [(module, module.training) for module in network.modules()]
    buffers = [(m, name, x.clone()) for m, _ in modes for name, x in m.named_buffers(recurse=False)]
    came_from = next((tensor.device for tensor in (*network.parameters(), *network.buffers())), place)
    try:
        network.to(place)
        for module, _ in modes:
            module.training = False
        yield
    finally:
        network.to(came_from)
        for module, training in modes:
            module.training = training
        with torch.no_grad():
            for module, name, kept in buffers:
                if (now := getattr(module, name)).shape != kept.shape:
                    setattr(module, name, kept)
                elif not torch.equal(now, kept):
                    now.copy_(kept)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a smaller batch might work."""
    message = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in message or "not enough memory" in message


def error_line(error: Exception, name: str) -> str:
    """The first line of what network ``name`` raised, which is anybody's code.

    Raises
    ------
    RuntimeError
        The same error, if the memory ran out: smaller batches may do.
    ValueError
        If an operation has no deterministic form, which `pinned_arithmetic.make_torch_deterministic` demands.
    """
    if isinstance(error, RuntimeError) and is_out_of_memory(error):
        raise error
    if "does not have a deterministic implementation" in str(error):
        raise ValueError(
            f"{name} needs {str(error).split()[0]}, which torch does not compute in a deterministic way, and ncrepro "
            "allows nothing else: set NCREPRO_ARITHMETIC=native in the environment and start Python again"
        ) from error
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def versions(place: torch.device, precision: str) -> dict[str, str]:
    """What computed: device, precision, versions of the libraries."""
    import torchvision

    name = torch.cuda.get_device_name(place) if place.type == "cuda" else "CPU"
    return {"device": name, "precision": precision, "torch": torch.__version__, "torchvision": torchvision.__version__}
