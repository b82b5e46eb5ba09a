"""onnxruntime, on the graph of `minibert.bench.onnx_graph`."""

from __future__ import annotations

import numpy as np
import onnxruntime

from minibert.bench.sides import Job, Side
from minibert.bench.sides.padding import PaddedBatches


def make(job: Job) -> Side:
    """The side for this job; its folder is that of the graphs."""
    return Encoder(job)


class Encoder(Side):
    """The encoder, forward."""

    def __init__(self, job: Job) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job.threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 3
        form = "masked" if job.what().ragged else "full"
        path = f"{job.folder}/{form}.onnx"
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        names = [one.name for one in self.session.get_inputs()]
        self.batches = PaddedBatches(job)
        self.inputs = []
        for ids, mask in self.batches.parts:
            both = {"input_ids": ids, "attention_mask": mask}
            self.inputs.append({name: both[name].astype(np.int32) for name in names})
        self.states: list[np.ndarray] = []

    def run(self) -> None:
        self.states = [self.session.run(None, inputs)[0] for inputs in self.inputs]

    def outputs(self) -> dict[str, np.ndarray]:
        self.run()
        return {"last_hidden_state": self.batches.real_tokens(self.states)}  # (T, H)
