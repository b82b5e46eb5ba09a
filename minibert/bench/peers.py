"""Against whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from minibert.bench.workloads import Kind, Workload

OURS = "minibert"


@dataclass(frozen=True)
class Peer:
    """Something to be compared with.

    Attributes:
        name: as on the command line.
        needs: packages that must be installed.
        kinds: kinds of workload it can run.
        about: one line for people.
        pads: whether it works on padding, so that a ragged batch may be given to it in two ways.
        cuda: whether it also runs on a GPU.
    """

    name: str
    needs: tuple[str, ...]
    kinds: tuple[Kind, ...]
    about: str
    pads: bool = False
    cuda: bool = False

    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [package for package in self.needs if find_spec(package) is None]


_TORCH = ("torch", "transformers")
_TRAIN: tuple[Kind, ...] = ("pretrain", "finetune", "attention")

PEERS = (
    Peer("torch-sdpa", _TORCH, ("encode", *_TRAIN), "transformers on torch, its fused attention", True, True),
    Peer("torch-eager", _TORCH, ("encode", *_TRAIN), "transformers on torch, attention written out", True, True),
    Peer("onnxruntime", ("onnxruntime", "onnx"), ("encode",), "onnxruntime with its fused nodes for BERT", pads=True),
    Peer("openvino", ("openvino", *_TORCH), ("encode",), "openvino in float32, converted from torch", pads=True),
    Peer("transformers", _TORCH, ("cold",), "the same script with transformers"),
    Peer("explicit", (), ("encode", *_TRAIN, "cold"), "minibert with its kernels off", cuda=True),
    Peer("limit", (), ("encode", *_TRAIN), "the bare matrix products of the same work on real tokens"),
)
REFERENCES = ("explicit", "limit")
"""Sides that are shown, but are no competitors."""


@dataclass(frozen=True)
class Contender:
    """A peer, and how it is given a ragged batch: "padded" to the longest, or "sorted" into batches of 16."""

    peer: Peer
    form: str = "padded"
    label: str = ""


def chosen(names: Sequence[str] | None, device: str = "cpu") -> list[Peer]:
    """The peers of these names, on this device; all that run there if None.

    Raises:
        ValueError: an unknown name, or one that does not run there.
    """
    known = [peer.name for peer in PEERS]
    there = [peer.name for peer in PEERS if device == "cpu" or peer.cuda]
    for name in names or ():
        if name not in known:
            raise ValueError(f"unknown peer {name!r}; expected one of {', '.join(known)}")
        if name not in there:
            raise ValueError(f"peer {name!r} is measured on the CPU only; with --device {device}: {', '.join(there)}")
    return [peer for peer in PEERS if peer.name in (there if names is None else names)]


def contenders(workload: Workload, peers: Sequence[Peer]) -> list[Contender]:
    """Who of these takes part in a workload."""
    found = []
    for peer in peers:
        if workload.kind not in peer.kinds:
            continue
        if workload.kind == "encode" and workload.ragged and peer.pads:
            found += [Contender(peer, form, f"{peer.name} {form}") for form in ("padded", "sorted")]
        else:
            found.append(Contender(peer, "padded", peer.name))
    return found
