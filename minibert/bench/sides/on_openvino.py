"""openvino in float32, on the model as it converts it from torch.

Where the processor has units for bfloat16 openvino uses them by default; the hint keeps it to float32, as all others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino

from minibert.bench.sides import Job, Side
from minibert.bench.sides.padding import PaddedBatches


def make(job: Job) -> Side:
    """The side for this job; its folder is that of the converted model."""
    return Encoder(job)


class Encoder(Side):
    """The encoder, forward."""

    def __init__(self, job: Job) -> None:
        settings: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": job.threads, "PERFORMANCE_HINT": "LATENCY",
        }  # fmt: skip
        self.request = openvino.Core().compile_model(f"{job.folder}/model.xml", "CPU", settings).create_infer_request()
        self.batches = PaddedBatches(job)
        self.inputs = [{"input_ids": ids, "attention_mask": mask} for ids, mask in self.batches.parts]
        self.states: list[np.ndarray] = []

    def run(self) -> None:
        # A result lives in the request's memory until its next run; several are copied out.
        copy = len(self.inputs) > 1
        self.states = []
        for inputs in self.inputs:
            result = self.request.infer(inputs, share_inputs=True, share_outputs=True)[0]
            self.states.append(result.copy() if copy else result)

    def outputs(self) -> dict[str, np.ndarray]:
        self.run()
        return {"last_hidden_state": self.batches.real_tokens(self.states)}  # (T, H)
