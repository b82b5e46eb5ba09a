"""Models of transformers with the weights of a published `.bin` checkpoint: the judges of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def judge(name: str, folder: Path, dtype: str) -> Any:
    """transformers' class `name` with the folder's weights, without dropout.

    The weights go in by name, every one of them, so that this does not rest on any library's guesses about old files.
    """
    import torch
    import transformers

    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings.pop("id2label", None), settings.pop("label2id", None)  # one of the files lists 2 labels for 50
    settings |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = transformers.BertConfig.from_dict(settings)
    config._attn_implementation = "eager"  # the textbook's formulas, in the dtype of the model
    model = getattr(transformers, name)(config)
    state = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    if "cls.predictions.bias" in state:  # one bias under two names, of which old files have one
        state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"]
    model.load_state_dict(state, strict=True)
    model.tie_weights()
    return model.to(getattr(torch, dtype)).eval()
