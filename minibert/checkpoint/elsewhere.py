"""Options that other libraries have for loading and saving: accepted where they ask for what is done anyway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minibert.checkpoint.errors import CheckpointError

__all__ = ["LOADING", "SAVING", "without_meaning"]

ANYTHING = None
"""Marks an option whose value never matters."""

_Values = tuple[Any, ...] | None

# For each option the values that change nothing here, and what to say of others.
LOADING: dict[str, tuple[_Values, str]] = {
    "attn_implementation": (ANYTHING, ""),  # ways to compute the same
    "device_map": ((None, "cpu"), "a model runs on one device: load it, then use .to(device='cuda')"),
    "from_flax": ((None, False), "minibert reads safetensors and PyTorch files"),
    "from_tf": ((None, False), "minibert reads safetensors and PyTorch files"),
    "low_cpu_mem_usage": (ANYTHING, ""),
    "proxies": ((None,), "set HTTPS_PROXY in the environment"),
    "quantization_config": ((None,), "minibert computes in float32 or float64"),
    "state_dict": ((None,), "make the model and call load_state_dict"),
    "trust_remote_code": (ANYTHING, ""),  # a checkpoint's code is never run
    "use_safetensors": (ANYTHING, ""),  # the best file that is there is read
}
SAVING: dict[str, tuple[_Values, str]] = {
    "is_main_process": ((True,), "save in one process only"),
    "push_to_hub": ((False,), "save to a folder and upload it with `hf upload`"),
    "safe_serialization": ((True,), "minibert writes safetensors, which other libraries read"),
    "save_original_format": (ANYTHING, ""),
    "state_dict": ((None,), "load it into a model and save that"),
    "variant": ((None,), "files have their usual names"),
}


def without_meaning(options: Mapping[str, Any], table: Mapping[str, tuple[_Values, str]]) -> dict[str, Any]:
    """`options` without those of `table`.

    Raises:
        CheckpointError: one of them asks for what is not built; the message says what to do instead.
    """
    kept = dict(options)
    for name, (harmless, instead) in table.items():
        if name in kept:
            value = kept.pop(name)
            if harmless is not ANYTHING and not any(value is one or value == one for one in harmless):
                raise CheckpointError(f"{name}={value!r:.40} is not supported; {instead}")
    return kept
