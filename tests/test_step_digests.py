import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ncrepro.commands import cli, step_digests
from ncrepro.store import pinned_arithmetic

KNOWN = step_digests.names()
why_not = pinned_arithmetic.why_not_exact()
# What MKL's vector library computes, by the newest instructions of the CPU and to other last digits on each.
BY_MKL = ("sqrt", "asin", "arcsin", "atan", "arctan", "tan", "erfinv")


@pytest.mark.skipif(why_not is not None, reason=str(why_not))
def test_this_machine_computes_the_digests_of_the_reference():
    differing = step_digests.differing_names()
    assert not differing, (
        f"{pinned_arithmetic.cpu()} computes other bytes than the reference's CPU: {', '.join(differing)}"
    )


def test_the_reference_has_a_digest_of_everything():
    assert list(step_digests.reference()) == list(KNOWN)


def test_what_has_another_digest_here_is_named(monkeypatch):
    makes = {"one": lambda: [1], "other": lambda: [2]}
    monkeypatch.setattr(step_digests, "names", lambda: makes)
    values = {name: step_digests.digest(make()) for name, make in makes.items()}
    for known, named in ((values, []), (values | {"other": "0"}, ["other"]), (values | {"third": "0"}, ["third"])):
        monkeypatch.setattr(step_digests, "reference", lambda known=known: known)
        assert step_digests.differing_names() == named


def test_digests_tell_the_last_bit_the_type_and_the_shape():
    one = torch.ones(2, 2)
    others = [one.nextafter(torch.tensor(2.0)), one.double(), one.view(4), one[:1]]
    assert step_digests.digest([one]) == step_digests.digest([one.numpy()])
    assert len({step_digests.digest([array]) for array in (one, *others)}) == 5


class Operations(TorchDispatchMode):
    """The names of torch's operations, forwards, backwards and in the optimiser; a power of one half is a root."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__.strip("_").removeprefix("foreach_")
        half = name == "pow" and isinstance(args[1], float) and abs(args[1]) == 0.5
        self.seen.add("sqrt" if half else name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    "name",
    [name for name in KNOWN if name.startswith(("text", "time", "modal", "segm", "self", "loss", "probe"))]
    + ["supervised resnet50"],
)
def test_nothing_is_trained_by_what_no_setting_makes_alike_on_all_cpus(name):
    with Operations() as operations:
        list(KNOWN[name]())
    assert operations.seen.intersection({"addmm", "mm", "convolution", "conv2d"})  # it does see what is done
    assert not operations.seen.intersection(BY_MKL)


def test_a_root_is_seen_in_each_of_its_forms():
    x = torch.ones(3)
    for root in (torch.sqrt, lambda t: t.clone().sqrt_(), lambda t: t**0.5, lambda t: torch._foreach_sqrt([t])):
        with Operations() as operations:
            root(x)
        assert "sqrt" in operations.seen


def test_the_command_prints_the_requested_digests(capsys):
    assert cli.main(["digests", "ranking", "scenes street"]) == 0
    names = [line.split(",")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["name", "scenes street", "rankings"]


def test_a_mistyped_name_is_answered_by_a_near_one(capsys):
    assert cli.main(["digests", "segmentatio n"]) == 1
    assert "unknown digest 'segmentatio n'" in capsys.readouterr().err
    assert cli.main(["digests", "segmantation"]) == 1
    assert "did you mean 'segmentation'?" in capsys.readouterr().err
