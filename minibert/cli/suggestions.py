"""The nearest command, option or name to what was typed, for the end of an error message."""

from __future__ import annotations

from collections.abc import Iterable

from minibert.models import MODELS
from minibert.options import did_you_mean
from minibert.paths import as_path

__all__ = ["suggest_choice", "suggest_command", "with_model_suggestion"]

# What other programs and libraries call the same thing.
_OTHER_NAMES = {
    "ask": "answer",
    "benchmark": "bench",
    "embed": "features",
    "embeddings": "features",
    "encode": "features",
    "eval": "evaluate",
    "feature-extraction": "features",
    "mask": "fill-mask",
    "merge": "average",
    "ner": "tokens",
    "nsp": "next-sentence",
    "predict": "classify",
    "qa": "answer",
    "question-answering": "answer",
    "sentiment": "classify",
    "sentiment-analysis": "classify",
    "show": "info",
    "text-classification": "classify",
    "token-classification": "tokens",
    "train": "pretrain",
    "train-tokenizer": "vocabulary",
    "unmask": "fill-mask",
    "vocab": "vocabulary",
}


def suggest_choice(typed: str, known: Iterable[str]) -> str:
    """The same for the value of an option. float64 is not what float16 was meant to be: digits must agree."""
    if typed.lower() in ("gpu", "cuda:0") and "cuda" in known:
        return "; did you mean cuda?"
    return did_you_mean(typed, [name for name in known if _digits(name) == _digits(typed)])


def _digits(text: str) -> str:
    return "".join(filter(str.isdigit, text))


def suggest_command(typed: str, commands: Iterable[str]) -> str:
    """The same for a command, by its names elsewhere too, and for a text in its place."""
    known = list(commands)
    if typed in _OTHER_NAMES and _OTHER_NAMES[typed] in known:
        return f"; did you mean {_OTHER_NAMES[typed]}?"
    if "[MASK]" in typed:
        return "; did you mean minibert fill-mask TEXT?"
    if " " in typed:
        return "; the command comes first, as in minibert features TEXT"
    return did_you_mean(typed, known)


def with_model_suggestion(message: str, name: object) -> str:
    """`message`, about a model that could not be loaded, with what the program knows about the name."""
    typed = str(name)
    if typed.endswith((".txt", ".json", ".safetensors", ".bin")) and not as_path(typed).exists():
        return f"there is no file {typed}"
    if typed not in message:
        return f"{typed}: {message}"
    if typed in MODELS or "/" in typed or not (near := did_you_mean(typed, MODELS, cutoff=0.8)):
        return message
    return message + near
