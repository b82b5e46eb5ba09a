"""What all models share beside their layers: from and to disk, calls with names, the vocabulary's size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from minibert import resizing
from minibert.arguments import check_arguments
from minibert.config import BertConfig
from minibert.nn import Embedding, Linear, Module, skip_init
from minibert.paths import StrPath

__all__ = ["BertPreTrainedModel"]


class BertPreTrainedModel(Module):
    """What all BERT models share: a configuration, the ways from and to disk, and the vocabulary's size."""

    base_model_prefix: ClassVar[str] = "bert"
    """Name under which models with a head keep the `BertModel`."""

    def __init__(self, config: BertConfig) -> None:
        given: Any = config
        if not isinstance(given, BertConfig):
            own = type(self).__name__
            if hasattr(given, "to_dict"):  # another library's, perhaps of the same name
                raise ValueError(
                    f"{own} is made of minibert's BertConfig, got a {type(given).__module__}.{type(given).__name__}: "
                    "convert it with BertConfig(**config.to_dict())"
                )
            raise ValueError(
                f"{own} is made of a BertConfig, got a {type(given).__name__}; a published model is loaded with "
                f"{own}.from_pretrained(folder or name)"
            )
        config.validate()
        self.config = config

    if not TYPE_CHECKING:  # for type checkers, `Module` says what a call is

        def __call__(self, *args: Any, return_dict: bool | None = None, **inputs: Any) -> Any:
            """What `forward` returns; as a plain tuple with `return_dict=False`, or where the configuration says so.

            Raises:
                ArgumentError: more than input_ids by position, or a name that `forward` does not have.
            """
            check_arguments(self, args, inputs)
            out = super().__call__(*args, **inputs)
            return out if (self.config.return_dict if return_dict is None else return_dict) else out.to_tuple()

    @classmethod
    def from_pretrained(cls, name_or_folder: StrPath, **options: Any) -> Self:
        """A published model, from a folder or by its name on the hub, in evaluation mode.

        Args:
            name_or_folder: a folder with config.json and weights, or a name such as "bert-base-cased".
            options: see `minibert.checkpoint.load_model`: config, dtype, revision, token, subfolder, ..., and any value
                of the configuration (such as num_labels=3).

        Raises:
            ValueError: nothing there, not readable, or weights that do not fit the configuration.
        """
        from minibert.checkpoint import load_model

        return load_model(cls, name_or_folder, **options)

    def save_pretrained(self, folder: StrPath, **options: Any) -> None:
        """Write config.json and model.safetensors, which `from_pretrained` and other BERT libraries read.

        Args:
            folder: made if it does not exist.
            options: see `minibert.checkpoint.save_model`: dtype, max_shard_size.

        Raises:
            ValueError: the folder cannot be written, or the configuration was changed and no longer fits the weights.
        """
        from minibert.checkpoint import save_model

        self._check_sizes()
        save_model(self, folder, **options)

    def _check_sizes(self) -> None:
        """Raise ValueError if a model made of the configuration as it is now would have other weights.

        What was written then could not be read again.
        """
        try:
            with skip_init():
                fresh = type(self)(self.config)
        except TypeError:  # a user's own model, made of more than a configuration
            return
        sizes = {name: parameter.shape for name, parameter in fresh._all_names()}
        own = {name: parameter.shape for name, parameter in self._all_names()}
        changed = [
            f"{name} has shape {shape}, and the configuration now says {sizes[name]}"
            for name, shape in own.items()
            if name in sizes and sizes[name] != shape
        ]
        layers, meant = len(self.base_model.encoder.layer), self.config.num_hidden_layers
        if layers != meant:
            changed.append(f"there are {layers} layers, and the configuration now says {meant}")
        if changed:
            raise ValueError(
                f"the configuration no longer fits the weights: {changed[0]}; make a new model of a changed one "
                "(for the vocabulary: resize_token_embeddings)"
            )

    # --- the vocabulary's size (see `minibert.resizing`) -----------------------------------------------------------

    @property
    def base_model(self) -> Any:
        """The `BertModel` inside a model with a head; a `BertModel` itself."""
        return getattr(self, self.base_model_prefix, self)

    def get_input_embeddings(self) -> Embedding:
        """The table of word embeddings, whose `weight` is (V, H)."""
        table: Embedding = self.base_model.embeddings.word_embeddings
        return table

    def set_input_embeddings(self, table: Embedding) -> None:
        """Use another table of word embeddings; a tied decoder uses it too, and `config.vocab_size` follows.

        A decoder's bias is cut, or grows by the mean of its values, where the table has another number of rows.

        Raises:
            ValueError: it is no `Embedding`, or its rows are not of the model's hidden size.
        """
        resizing.replace_table(self, table)

    def get_output_embeddings(self) -> Linear | None:
        """The masked-language-model head's decoder, with `weight` (V, H) and `bias` (V,); None for other heads."""
        head = getattr(getattr(self, "cls", None), "predictions", None)
        return getattr(head, "decoder", None)

    def resize_token_embeddings(
        self, new_num_tokens: int | None = None, pad_to_multiple_of: int | None = None, mean_resizing: bool = True
    ) -> Embedding:
        """Let the vocabulary have another size, as after `tokenizer.add_tokens`; usually `len(tokenizer)`.

        Rows that remain keep their values. New ones are the mean of the old rows, so that old words' probabilities
        hardly change (Hewitt, "Initializing New Word Embeddings for Pretrained Language Models", 2021), or with
        mean_resizing=False drawn as in a new model. The decoder of a masked-language-model head follows: tied it
        stays tied, untied its rows are made in the same way; its bias grows by the mean of its values, or by zeros.
        `config` becomes a copy with the new vocab_size.

        The parameters remain the same objects and get new arrays; gradients are dropped. An optimiser's state has the
        old shape and its next step says so: make it afterwards.

        Args:
            new_num_tokens: the new V; as it is if None.
            pad_to_multiple_of: round it up to a multiple of this.
            mean_resizing: what new rows are.

        Returns:
            The table of word embeddings.

        Raises:
            ValueError: a size below 1, or one that cuts off the pad token.
        """
        return resizing.resize(self, new_num_tokens, pad_to_multiple_of, mean_resizing)
