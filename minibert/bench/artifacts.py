"""Checkpoints with random weights, and the forms that other libraries want them in.

They are made in processes of their own, so that neither the parent nor any side has had another library's model in
memory; once each, and only those that are needed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from minibert.bench import process
from minibert.bench.peers import OURS
from minibert.bench.sides import Job
from minibert.bench.workloads import Workload

ARCHITECTURES = {
    "encode": "BertModel",
    "pretrain": "BertForPreTraining",
    "finetune": "BertForSequenceClassification",
    "cold": "BertForMaskedLM",
}


class Artifacts:
    """What lies in a folder already, and what is still to be made."""

    def __init__(self, folder: Path, size: str, threads: int, device: str = "cpu") -> None:
        self.folder, self.size, self.threads, self.device = folder, size, threads, device

    def checkpoint(self, workload: Workload) -> Path:
        """The folder of a checkpoint for this workload; it has a vocabulary, too."""
        architecture = ARCHITECTURES.get(workload.kind)
        return self.folder if architecture is None else self._made(OURS, "checkpoint", architecture, self.size)

    def for_side(self, side: str, workload: Workload) -> Path:
        """What the side reads.

        Raises:
            SideFailed: it cannot be made.
        """
        source = self.checkpoint(workload)
        return self._made(side, side, str(source)) if side in ("onnxruntime", "openvino") else source

    def job(self, side: str, workload: Workload, form: str) -> Job:
        """The job for a side, with everything in place."""
        folder = str(self.for_side(side, workload))
        return Job(side, workload.name, form, self.size, self.threads, folder, self.device)

    def _made(self, side: str, what: str, *arguments: str) -> Path:
        target = self.folder / "-".join([what, *(Path(a).name for a in arguments)])
        if not target.exists():
            process.run_module(side, "minibert.bench.artifacts", what, *arguments, str(target), threads=self.threads)
        return target


def write_checkpoint(architecture: str, size: str, target: Path) -> None:
    """A checkpoint with random weights. Biases are drawn too: where all are zero, one forgotten would not be seen."""
    import numpy as np

    import minibert
    from minibert.bench.inputs import config_of
    from minibert.bench.vocabulary import tokenizer

    minibert.manual_seed(1)
    config = config_of(size)
    model: Any = getattr(minibert, architecture)(config)
    rng = np.random.default_rng(1)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.data = rng.normal(0.0, 0.02, parameter.shape).astype(np.float32)
    model.save_pretrained(target)
    tokenizer(config.vocab_size).save_pretrained(target)


def write_onnx(source: Path, target: Path) -> None:
    """Two graphs: for batches with pads, and for batches without."""
    from minibert.bench import onnx_graph
    from minibert.bert import BertModel

    model = BertModel.from_pretrained(source)
    target.mkdir()
    for masked in (True, False):
        onnx_graph.write_onnx(model, target / ("masked.onnx" if masked else "full.onnx"), masked=masked)


def write_openvino(source: Path, target: Path) -> None:
    """transformers' model, traced and converted, its weights kept in float32."""
    import openvino
    import torch
    import transformers

    how: dict[str, Any] = {"add_pooling_layer": False, "attn_implementation": "sdpa"}
    model: Any = transformers.BertModel.from_pretrained(source, **how)
    ids = torch.ones((2, 9), dtype=torch.int64)
    example = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    converted = openvino.convert_model(model.eval(), example_input=example)
    target.mkdir()
    openvino.save_model(converted, target / "model.xml", compress_to_fp16=False)


def main() -> None:
    """WHAT ARGUMENT... TARGET."""
    what, *arguments, target = sys.argv[1:]
    if what == "checkpoint":
        write_checkpoint(*arguments, Path(target))  # type: ignore[call-arg, arg-type]
    else:
        {"onnxruntime": write_onnx, "openvino": write_openvino}[what](Path(arguments[0]), Path(target))


if __name__ == "__main__":
    main()
