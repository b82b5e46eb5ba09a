"""`SentenceEncoder`: texts in, vectors out, as the folder of a sentence-transformers model says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from inspect import Parameter, signature
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.bert import BertPreTrainedModel
from minibert.checkpoint.elsewhere import without_meaning
from minibert.checkpoint.hub import HubOptions
from minibert.models import MINI
from minibert.number_like import as_int
from minibert.options import unknown_option
from minibert.paths import StrPath
from minibert.pipelines.batching import progress
from minibert.pipelines.feature_extraction import FeatureExtractionPipeline
from minibert.pipelines.inputs import stream_of
from minibert.pipelines.loading import load
from minibert.pipelines.pooling import pooling_modes, unit_length
from minibert.sentences.folder import SentenceSettings, read_sentence_folder
from minibert.sentences.nearest import SIMILARITIES, Hit, search, similarity

__all__ = ["SentenceEncoder"]

WINDOW_BATCHES = 128
"""How many batches of texts are tokenized and sorted by length at a time."""

# What sentence-transformers has and means nothing here (`minibert.checkpoint.elsewhere`).
_MAKING = {"trust_remote_code": (None, ""), "backend": (("torch",), "minibert computes with NumPy")}
_ENCODING = {
    "convert_to_numpy": ((True,), "vectors are NumPy arrays"),
    "convert_to_tensor": ((False,), "vectors are NumPy arrays; minibert.Tensor(vectors) makes a tensor"),
    "device": ((None,), "it is decided when the encoder is made: SentenceEncoder(..., device=...)"),
    "output_value": (("sentence_embedding",), "vectors of tokens come from pipeline('feature-extraction')"),
    "precision": (("float32",), "say dtype='float16' for smaller vectors"),
}

_QUERY_PROMPTS = ("query",)
_CORPUS_PROMPTS = ("document", "passage", "corpus")


class SentenceEncoder:
    """A vector for each text, and what is near to what.

    Args:
        model: a sentence-transformers folder, any BERT folder, a name on the hub, or a model object (with `tokenizer`).
            By default the small model that comes with the package, which was not trained for this.
        tokenizer: as for `pipeline`.
        pooling: one or several of `minibert.pipelines.pooling.POOLINGS`; None: as the folder says, else the mean.
        normalize: scale vectors to length one; None: as the folder says.
        max_seq_length: longer texts are truncated to this many tokens, special ones included; None: as the folder says,
            else what the model takes.
        similarity: one of `minibert.sentences.nearest.SIMILARITIES`; None: as the folder says, else "cosine".
        device, dtype: as for `pipeline`.
        batch_size: the most texts that run through the model at once.
        source: those of `minibert.checkpoint.HubOptions`: revision, token, subfolder, ...

    Attributes:
        model, tokenizer: the encoder and its tokenizer.
        settings: how vectors are made, as read from the folder and changed by the arguments.

    Raises:
        ValueError: nothing there, or files that cannot be read or name what minibert does not have.
    """

    def __init__(
        self,
        model: StrPath | BertPreTrainedModel = MINI,
        *,
        tokenizer: Any = None,
        pooling: str | Sequence[str] | None = None,
        normalize: bool | None = None,
        max_seq_length: int | None = None,
        similarity: str | None = None,
        device: Any = None,
        dtype: Any = None,
        batch_size: int = 32,
        **source: Any,
    ) -> None:
        source, others = HubOptions.split(source)
        if others := without_meaning(others, _MAKING):
            raise _no_option("SentenceEncoder", SentenceEncoder, next(iter(others)))
        if isinstance(model, BertPreTrainedModel):
            self.settings = SentenceSettings(model, pooling_modes(pooling or "mean"))
        else:
            self.settings = read_sentence_folder(model, pooling=pooling, **source)
        settings = self.settings
        if settings.encoder is not model:  # a folder of its own, found below the given place
            source.pop("subfolder", None)
        if normalize is not None:
            settings.steps = [step for step in settings.steps if step != "normalize"] + ["normalize"] * bool(normalize)
        settings.similarity = settings.similarity if similarity is None else similarity
        if settings.similarity not in SIMILARITIES:
            raise ValueError(f"unknown similarity {settings.similarity!r}; expected one of {', '.join(SIMILARITIES)}")
        encoder, ready = load(
            FeatureExtractionPipeline, settings.encoder, tokenizer, device=device, dtype=dtype, **source
        )
        self._pipeline = FeatureExtractionPipeline(encoder, ready, batch_size=batch_size)
        self.model, self.tokenizer = self._pipeline.model, self._pipeline.tokenizer
        longest = self._pipeline.longest
        asked = settings.max_seq_length if max_seq_length is None else as_int("max_seq_length", max_seq_length, least=3)
        settings.max_seq_length = longest if asked is None else min(asked, longest)

    @property
    def max_seq_length(self) -> int:
        """The most tokens of a text, special ones counted; longer texts are cut. It can be set.

        Raises:
            ValueError: not an integer of at least 3, or more than the model takes.
        """
        return int(self.settings.max_seq_length or self._pipeline.longest)

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        self.settings.max_seq_length = as_int("max_seq_length", tokens, least=3, most=self._pipeline.longest)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        size = int(self.model.config.hidden_size * len(self.settings.pooling))
        for step in self.settings.steps:
            size = size if step == "normalize" else len(step.weight)
        return size

    def encode(
        self,
        texts: Any,
        *,
        batch_size: int | None = None,
        normalize: bool | None = None,
        dtype: Any = "float32",
        show_progress: bool | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        **others: Any,
    ) -> NDArray[Any]:
        """(B, dimension) for texts, (dimension,) for a single one, in the order of the texts.

        Args:
            texts: a string, or strings in a list, an array, an iterator or a dataset.
            batch_size: as when the encoder was made, if None.
            normalize: scale vectors to length one; None: as the encoder does, False: not even if it does.
            dtype: of the array; "float32", "float64" or "float16".
            show_progress: a progress bar on stderr; None: if it is a terminal and there are many texts.
            prompt, prompt_name: a text put in front of each, or the name of one in `settings.prompts`.
            others: sentence-transformers' names: `normalize_embeddings` and `show_progress_bar` for the two above, and
                what asks for the arrays that are given anyway (`convert_to_numpy=True`).

        Raises:
            PipelineException: not a text; `.index` says which.
            ValueError: unknown or impossible options.
        """
        others = without_meaning(others, _ENCODING)
        normalize = others.pop("normalize_embeddings", normalize)
        show_progress = others.pop("show_progress_bar", show_progress)
        if others:
            raise _no_option("encode", SentenceEncoder.encode, next(iter(others)))
        out = _float_dtype(dtype)
        prefix = self._prompt(prompt, prompt_name)
        options = self._pipeline.options(
            {
                "pool": self.settings.pooling,
                "skip_tokens": 0 if self.settings.include_prompt else self._tokens_of(prefix),
                "truncation": True,
                "max_length": self.settings.max_seq_length,
                "batch_size": batch_size,
                "show_progress": False,
                "return_tensors": True,
            }
        )
        if isinstance(texts, np.ndarray) and texts.ndim == 0:
            texts = texts.item()
        single = isinstance(texts, str)
        items = [texts] if single else _listed(texts)
        vectors = np.empty((len(items), self.dimension), out)
        size = options.batch_size * WINDOW_BATCHES
        with progress(len(items), "encode", show_progress) as advance:
            for first in range(0, len(items), size):
                some = [self._written(item, prefix) for item in items[first : first + size]]
                pooled = np.stack(self._pipeline.run(some, options, first=first, located=not single))
                vectors[first : first + size] = self._finished(pooled, normalize)
                advance(len(some))
        return vectors[0] if single else vectors

    def similarity(self, a: Any, b: Any = None) -> NDArray[Any]:
        """(A, B) similarities of texts or vectors `a` with `b` (None: with one another), as `settings.similarity` says.

        Raises:
            ValueError: neither texts nor vectors that go together.
        """
        first = self._encoded(a, ())
        return similarity(first, first if b is None else self._encoded(b, ()), self.settings.similarity)

    def search(self, queries: Any, corpus: Any, top_k: int = 10) -> Any:
        """The nearest of a corpus for each query: {"corpus_id", "score"}, nearest first, of equal ones the first.

        Texts are encoded, with the encoder's prompts for queries and documents where it has some; vectors are taken as
        they are. Encode a corpus once if you search it often.

        Args:
            queries: texts or vectors (Q, H); one text or one vector (H,) gives one list of hits.
            corpus: texts or vectors (N, H).
            top_k: how many, at most.

        Returns:
            A list of lists of hits, or for a single query a list of hits.

        Raises:
            ValueError: neither texts nor vectors that go together, or an impossible `top_k`.
        """
        top_k = as_int("top_k", top_k, least=1)
        wanted = self._encoded(queries, _QUERY_PROMPTS)
        hits: list[list[Hit]] = search(wanted, self._encoded(corpus, _CORPUS_PROMPTS), top_k, self.settings.similarity)
        return hits[0] if wanted.ndim == 1 else hits

    def __repr__(self) -> str:
        pooling = "+".join(self.settings.pooling)
        return f"SentenceEncoder({self.settings.encoder!r}, {pooling}, dimension {self.dimension})"

    def _encoded(self, given: Any, prompts: Sequence[str]) -> NDArray[Any]:
        """Vectors as they are, texts encoded with the first of `prompts` that there is."""
        if hasattr(given, "numpy"):  # a Tensor
            given = given.numpy()
        if isinstance(given, np.ndarray) and given.dtype.kind in "fiu":
            return given
        items = [given] if isinstance(given, str) else _listed(given)
        if items and not any(isinstance(item, str) for item in items):
            try:
                return np.asarray(items)
            except ValueError:
                raise ValueError("expected texts, or vectors of one length; these have several") from None
        name = next((name for name in prompts if name in self.settings.prompts), None)
        return self.encode(given if isinstance(given, str) else items, prompt_name=name)

    def _prompt(self, prompt: str | None, name: str | None) -> str:
        if prompt is not None and name is not None:
            raise ValueError("give either prompt or prompt_name")
        if prompt is not None:
            return prompt
        name = self.settings.default_prompt_name if name is None else name
        if name is not None and name not in self.settings.prompts:
            known = ", ".join(self.settings.prompts) or "no prompts"
            raise ValueError(f"there is no prompt {name!r}; this encoder has {known}")
        return "" if name is None else self.settings.prompts[name]

    def _tokens_of(self, prefix: str) -> int:
        """[CLS] and the tokens of a prompt; 0 without a prompt."""
        return len(self.tokenizer(self._written("", prefix))["input_ids"]) - 1 if prefix else 0

    def _written(self, item: Any, prefix: str) -> Any:
        """A text as the tokenizer gets it; what is no text is left for the pipeline to complain about."""
        if not isinstance(item, str):
            return item
        return (prefix + item).lower() if self.settings.do_lower_case else prefix + item

    def _finished(self, x: NDArray[Any], normalize: bool | None) -> NDArray[Any]:
        """(B, dimension) from the pooled vectors."""
        for step in self.settings.steps:
            if step != "normalize":
                x = step(x)
            elif normalize is not False:
                x = unit_length(x)
        return unit_length(x) if normalize else x


def _float_dtype(dtype: Any) -> np.dtype[Any]:
    try:
        out: np.dtype[Any] = np.dtype(dtype)
    except TypeError:
        out = np.dtype(object)
    if out.kind != "f":
        raise ValueError(f"dtype must be a float dtype, got {dtype!r}")
    return out


def _no_option(function: str, called: Any, name: str) -> ValueError:
    known = {one.name for one in signature(called).parameters.values() if one.kind is not Parameter.VAR_KEYWORD}
    hub = {field.name for field in fields(HubOptions)} if called is SentenceEncoder else set()
    return ValueError(unknown_option(function, name, (known | hub) - {"self"}))


def _listed(texts: Any) -> list[Any]:
    """Texts of any form as a list."""
    if (stream := stream_of(texts)) is not None:
        return list(stream[0])
    if isinstance(texts, np.ndarray):
        return list(texts.tolist()) if texts.ndim == 1 else list(texts)
    if isinstance(texts, list | tuple):
        return list(texts)
    raise ValueError(f"expected a text (a str) or several, got {texts!r:.40} ({type(texts).__name__})")
