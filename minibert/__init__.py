"""minibert: BERT written by hand in NumPy.

    from minibert import BertModel, BertTokenizer, pipeline

Names are looked up when they are first used, so that `import minibert` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "minibert.autograd": ("Op", "Tensor", "enable_grad", "is_grad_enabled", "no_grad"),
    "minibert.backend": (
        "get_float32_matmul_precision",
        "get_num_threads",
        "kernels_off",
        "set_float32_matmul_precision",
        "set_num_threads",
    ),
    "minibert.bert": ("BertModel", "BertPreTrainedModel"),
    "minibert.compilation": ("warm_up",),
    "minibert.config": ("BertConfig",),
    "minibert.gradcheck": ("GradcheckError", "gradcheck"),
    "minibert.heads": (
        "BertForMaskedLM",
        "BertForMultipleChoice",
        "BertForNextSentencePrediction",
        "BertForPreTraining",
        "BertForQuestionAnswering",
        "BertForSequenceClassification",
        "BertForTokenClassification",
        "NextSentence",
    ),
    "minibert.optim": ("Adam", "AdamW", "BertAdam", "clip_grad_norm"),
    "minibert.philox": ("manual_seed",),
    "minibert.pipelines": ("pipeline",),
    "minibert.sentences": ("SentenceEncoder",),
    "minibert.tokenizer": ("BertTokenizer",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Adam",
    "AdamW",
    "BertAdam",
    "BertConfig",
    "BertForMaskedLM",
    "BertForMultipleChoice",
    "BertForNextSentencePrediction",
    "BertForPreTraining",
    "BertForQuestionAnswering",
    "BertForSequenceClassification",
    "BertForTokenClassification",
    "BertModel",
    "BertPreTrainedModel",
    "BertTokenizer",
    "GradcheckError",
    "NextSentence",
    "Op",
    "SentenceEncoder",
    "Tensor",
    "__version__",
    "clip_grad_norm",
    "enable_grad",
    "get_float32_matmul_precision",
    "get_num_threads",
    "gradcheck",
    "is_grad_enabled",
    "kernels_off",
    "manual_seed",
    "no_grad",
    "pipeline",
    "set_float32_matmul_precision",
    "set_num_threads",
    "warm_up",
]

if TYPE_CHECKING:  # the same names, for editors and type checkers
    from minibert.autograd import Op, Tensor, enable_grad, is_grad_enabled, no_grad
    from minibert.backend import (
        get_float32_matmul_precision,
        get_num_threads,
        kernels_off,
        set_float32_matmul_precision,
        set_num_threads,
    )
    from minibert.bert import BertModel, BertPreTrainedModel
    from minibert.compilation import warm_up
    from minibert.config import BertConfig
    from minibert.gradcheck import GradcheckError, gradcheck
    from minibert.heads import (
        BertForMaskedLM,
        BertForMultipleChoice,
        BertForNextSentencePrediction,
        BertForPreTraining,
        BertForQuestionAnswering,
        BertForSequenceClassification,
        BertForTokenClassification,
        NextSentence,
    )
    from minibert.optim import Adam, AdamW, BertAdam, clip_grad_norm
    from minibert.philox import manual_seed
    from minibert.pipelines import pipeline
    from minibert.sentences import SentenceEncoder
    from minibert.tokenizer import BertTokenizer


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        value = getattr(importlib.import_module(_HOME_OF[name]), name)
        return globals().setdefault(name, value)  # `gradcheck` is there by now: the module, which can be called
    raise AttributeError(f"module 'minibert' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
