"""The numbers that say which BERT: sizes, probabilities, labels.

Names and defaults are those of published config.json files.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from minibert.activations import ACTIVATIONS
from minibert.autograd import Tensor
from minibert.config_checks import CHECKS, MOST, OUTPUTS, by_number, numbered
from minibert.number_like import as_int, shown
from minibert.options import unknown_option
from minibert.paths import StrPath, as_path

__all__ = ["ACTIVATIONS", "BertConfig"]

# Settings of transformers without a meaning here: `BertConfig(use_cache=False)` keeps them in `extra`.
_OF_TRANSFORMERS = frozenset((
    "add_cross_attention", "architectures", "attn_implementation", "bos_token_id", "chunk_size_feed_forward",
    "cross_attention_hidden_size", "decoder_start_token_id", "directionality", "dtype", "eos_token_id",
    "finetuning_task", "gradient_checkpointing", "is_decoder", "is_encoder_decoder", "name_or_path", "output_past",
    "pooler_fc_size", "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type",
    "position_embedding_type", "prefix", "pruned_heads", "sep_token_id", "task_specific_params",
    "tf_legacy_loss", "tie_encoder_decoder", "tokenizer_class", "torch_dtype", "torchscript", "transformers_version",
    "use_bfloat16", "use_cache", "_attn_implementation", "_name_or_path",
    # How a language model generates, which files of earlier versions hold for a BERT too.
    "bad_words_ids", "begin_suppress_tokens", "diversity_penalty", "do_sample", "early_stopping",
    "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "forced_bos_token_id", "forced_eos_token_id",
    "length_penalty", "max_length", "min_length", "no_repeat_ngram_size", "num_beam_groups", "num_beams",
    "num_return_sequences", "output_scores", "remove_invalid_values", "repetition_penalty", "return_dict_in_generate",
    "suppress_tokens", "temperature", "top_k", "top_p", "typical_p",
))  # fmt: skip
_PROPERTIES = frozenset(("num_labels", "label2id"))


@dataclass(init=False)
class BertConfig:
    """Sizes and settings of a BERT; the defaults are bert-base-uncased's, as in the published configurations.

    Every value is checked when it is set, here or later by assignment, and what must fit together (hidden_size and
    num_attention_heads, the labels' numbers) when a model is made of it or it is saved (`validate`).

    Attributes:
        vocab_size: V.
        hidden_size: H.
        num_hidden_layers: number of encoder layers.
        num_attention_heads: N; must divide H.
        intermediate_size: F, the width inside the feed-forward part.
        hidden_act: a key of `ACTIVATIONS`.
        max_position_embeddings: the longest sequence.
        id2label: names of a classification head's labels, by the numbers 0, 1, ...; `num_labels` is how many they are
            and `label2id` the way back. All three can be set, and the other two follow: a new `num_labels` names them
            LABEL_0, LABEL_1, ... Where both a number and names are given here and differ, the number wins, because it
            is what the weights of published checkpoints were made with. 2 labels if nothing is given.
        problem_type: which loss `BertForSequenceClassification` takes; worked out from the labels if None.
        output_hidden_states, output_attentions, return_dict: what a call of the model that does not say so itself
            returns: these too, and an output object (or a tuple, if False).
        extra: keys of a config.json that mean nothing here; kept, and written back.

    Raises:
        ValueError: values that no BERT can have, or that this library does not build; unknown names. (Beside
            `model_type` every name is known: `BertConfig(**config.to_dict())` keeps what a file brought along.)
    """

    model_type: ClassVar[str] = "bert"

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: str
    hidden_dropout_prob: float
    attention_probs_dropout_prob: float
    max_position_embeddings: int
    type_vocab_size: int
    initializer_range: float
    layer_norm_eps: float
    pad_token_id: int | None
    classifier_dropout: float | None
    tie_word_embeddings: bool
    id2label: dict[int, str]
    problem_type: str | None
    output_hidden_states: bool
    output_attentions: bool
    return_dict: bool
    extra: dict[str, Any]

    def __init__(
        self,
        *,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int | None = 0,
        classifier_dropout: float | None = None,
        tie_word_embeddings: bool = True,
        num_labels: int | None = None,
        id2label: Mapping[Any, str] | None = None,
        label2id: Mapping[str, int] | None = None,
        problem_type: str | None = None,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        return_dict: bool = True,
        extra: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.pad_token_id = pad_token_id
        self.classifier_dropout = classifier_dropout
        self.tie_word_embeddings = tie_word_embeddings
        self.problem_type = problem_type
        self.output_hidden_states = output_hidden_states
        self.output_attentions = output_attentions
        self.return_dict = return_dict
        self.extra = {} if extra is None else extra  # type: ignore[assignment]
        self.extra = {**self.extra, **_known(others)}
        self.id2label = id2label or numbered(2)  # type: ignore[assignment]
        if label2id and not id2label:
            self.label2id = label2id
        if num_labels is not None and num_labels != 0:  # 0 stands for "not said" in some files
            self.num_labels = num_labels
        self.validate()

    # --- labels: id2label is the one place where they are kept -------------------------------------------------------

    @property
    def num_labels(self) -> int:
        """How many labels a classification head has."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, number: int) -> None:
        number = as_int("num_labels", number, least=1, most=MOST["num_labels"])
        if number != len(self.id2label):
            self.id2label = numbered(number)

    @property
    def label2id(self) -> dict[str, int]:
        """Label numbers by name."""
        return {label: i for i, label in self.id2label.items()}

    @label2id.setter
    def label2id(self, numbers: Mapping[str, int]) -> None:
        if not isinstance(numbers, Mapping):
            raise ValueError(f"label2id must map names to numbers, got {shown(numbers)}")
        named = {number: name for name, number in numbers.items()}
        if len(named) != len(numbers):
            raise ValueError(f"label2id gives one number to several names: {shown(dict(numbers))}")
        self.id2label = by_number(named, "label2id")

    # --- checks -----------------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if name in CHECKS:
            value = CHECKS[name](name, value)
        elif name in _OF_TRANSFORMERS:
            self.extra = {**self.extra, name: value}
            return
        elif type(self) is BertConfig and name not in _PROPERTIES:  # a subclass may have settings of its own
            raise AttributeError(
                unknown_option("BertConfig", name, self.setting_names()) + " (settings of your own go into .extra)"
            )
        object.__setattr__(self, name, value)

    if not TYPE_CHECKING:  # a type checker would take every misspelt name for a setting

        def __getattr__(self, name: str) -> Any:
            """What a config.json brought along can be read as an attribute: `config.architectures`."""
            extra = self.__dict__.get("extra", {})
            if name in extra:
                return extra[name]
            raise AttributeError(unknown_option("BertConfig", name, self.setting_names()))

    def validate(self) -> None:
        """Raise ValueError where single values are possible but do not fit together."""
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        for name in ("id2label", "extra"):  # once more: a dict can be changed in place
            if (checked := CHECKS[name](name, getattr(self, name))) != getattr(self, name):
                setattr(self, name, checked)

    @classmethod
    def setting_names(cls) -> frozenset[str]:
        """The names of all settings, those of the labels included."""
        return frozenset(one.name for one in dataclasses.fields(cls)) - {"extra"} | {"num_labels", "label2id"}

    @classmethod
    def keeps(cls, name: str) -> bool:
        """Whether `name` is a setting of other libraries that is kept in `extra`."""
        return name in _OF_TRANSFORMERS

    # --- what the model needs ----------------------------------------------------------------------------------------

    @property
    def head_size(self) -> int:
        """D = H / N."""
        return self.hidden_size // self.num_attention_heads

    @property
    def activation(self) -> Callable[[Tensor], Tensor]:
        """The function that `hidden_act` names."""
        return ACTIVATIONS[self.hidden_act]

    # --- from and to dictionaries and files --------------------------------------------------------------------------

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **overrides: Any) -> Self:
        """A configuration from the contents of a config.json; `overrides` replace single values.

        Raises:
            ValueError: an override that is no setting, or a value that is not possible.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"expected the contents of a config.json, a dictionary, got a {type(values).__name__}")
        known = cls.setting_names()
        if unknown := sorted(overrides.keys() - known - _OF_TRANSFORMERS):
            raise ValueError(unknown_option("BertConfig", unknown[0], known))
        labels = {"num_labels", "id2label", "label2id"}
        kept = {name: value for name, value in values.items() if not (labels & overrides.keys() and name in labels)}
        names = values.get("id2label")
        if "num_labels" in overrides and isinstance(names, Mapping) and len(names) == overrides["num_labels"]:
            kept["id2label"] = names  # as many as before: they keep their names
        own = {name: kept.pop(name) for name in known & kept.keys()}
        kind = kept.pop("model_type", None)
        return cls(**{**own, **overrides}, model_type=kind or cls.model_type, extra=kept)

    @classmethod
    def from_pretrained(cls, name_or_folder: StrPath, **options: Any) -> Self:
        """The configuration of a published model, from a folder (or a JSON file) or by its name on the hub.

        Args:
            name_or_folder: see `minibert.checkpoint.resolve`.
            options: those of `minibert.checkpoint.HubOptions` (revision, token, subfolder, ...); all others replace
                single values.

        Raises:
            ValueError: nothing there, not readable, not a BERT's, or as `from_dict`.
        """
        from minibert.checkpoint import CONFIG_FILES, HubOptions, read_config, resolve

        hub, overrides = HubOptions.split(options)
        if unknown := sorted(overrides.keys() - cls.setting_names() - _OF_TRANSFORMERS):
            known = [*cls.setting_names(), *(one.name for one in dataclasses.fields(HubOptions))]
            raise ValueError(unknown_option("BertConfig.from_pretrained", unknown[0], known))
        if not hub and str(name_or_folder).endswith(".json") and as_path(name_or_folder).is_file():
            return cls.from_dict(cls.from_json_file(name_or_folder).to_dict(), **overrides)
        return cls.from_dict(read_config(resolve(name_or_folder, files=CONFIG_FILES, **hub)), **overrides)

    @classmethod
    def from_json_file(cls, path: StrPath) -> Self:
        """A configuration from a JSON file of any name, such as Google's bert_config.json.

        Raises:
            ValueError: it cannot be read, is not a JSON object, or not a BERT's.
        """
        from minibert.checkpoint.config_file import read_config_file

        return cls.from_dict(read_config_file(as_path(path)))

    def save_pretrained(self, folder: StrPath) -> None:
        """Write config.json into `folder`, which is made if it does not exist.

        Raises:
            ValueError: the folder cannot be written, or values that do not fit together.
        """
        from minibert.checkpoint import write_config

        write_config(folder, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """The contents of a config.json: the fields, and what came along in `extra`.

        Raises:
            ValueError: values that do not fit together.
        """
        self.validate()
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.name != "extra"}
        values["id2label"] = {str(i): label for i, label in self.id2label.items()}
        values["label2id"] = self.label2id
        for name, usual in OUTPUTS.items():
            if values[name] == usual:
                del values[name]  # published files name them only where they are unusual
        return {**copy.deepcopy(self.extra), **values, "model_type": self.model_type}

    def to_diff_dict(self) -> dict[str, Any]:
        """What of `to_dict` differs from the defaults, with `model_type`."""
        usual = type(self)().to_dict()
        return {
            name: value
            for name, value in self.to_dict().items()
            if name == "model_type" or name not in usual or value != usual[name]
        }

    def to_json_string(self, use_diff: bool = True) -> str:
        """`to_diff_dict` (or, with use_diff=False, `to_dict`) as JSON with sorted keys and a line break at the end."""
        content = self.to_diff_dict() if use_diff else self.to_dict()
        return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    def to_json_file(self, path: StrPath, use_diff: bool = True) -> None:
        """Write `to_json_string` to a file, which appears whole or not at all.

        Raises:
            ValueError: it cannot be written.
        """
        from minibert.checkpoint.config_file import write_text_file

        write_text_file(as_path(path), self.to_json_string(use_diff))

    def update(self, values: Mapping[str, Any]) -> None:
        """Set several values at once; nothing is changed if one of them is not possible.

        Raises:
            ValueError: as for single values; unknown names.
        """
        changed = type(self).from_dict(self.to_dict(), **values)
        for one in dataclasses.fields(self):
            setattr(self, one.name, getattr(changed, one.name))

    def __copy__(self) -> Self:
        return copy.deepcopy(self)  # labels and extra are dicts that can be changed in place


def _known(others: Mapping[str, Any]) -> dict[str, Any]:
    """What of the constructor's other arguments goes into `extra`. Raises ValueError for unknown names."""
    if (kind := others.get("model_type") or "bert") != "bert":
        raise ValueError(f"this is a configuration of a {shown(kind)} model, not of a BERT")
    if "model_type" not in others and (unknown := sorted(others.keys() - _OF_TRANSFORMERS)):
        raise ValueError(unknown_option("BertConfig", unknown[0], BertConfig.setting_names()))
    return {name: value for name, value in others.items() if name != "model_type"}
