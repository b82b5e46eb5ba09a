"""The classic bugs of BERT implementations, planted one at a time: the checks must fail with each of them.

`every_check` is what the other files test, in short: the model against the reference, every gradient, dropout's
promises, and one training step. If a bug below passes it, the suite has a hole. (Bugs of the tokenizer, the
optimisers, the schedules and the checkpoint reader are planted in the tests of those.)
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minibert import (
    AdamW,
    BertForPreTraining,
    autograd,
    backend,
    bert,
    gradcheck,
    kernels_off,
    manual_seed,
    ops,
    packing,
)
from minibert.autograd import Op, Tensor
from minibert.gradcheck import GradcheckError
from minibert.heads import pretraining as heads
from tests import reference, tiny
from tests.ops.test_values import test_layer_norm_by_the_formula as check_layer_norm

# by their full names: in `minibert.ops` these names are the functions
attention, bias_gelu, cross_entropy, dropout, gelu, layer_norm, linear = (
    importlib.import_module(f"minibert.ops.{name}")
    for name in ("attention", "bias_gelu", "cross_entropy", "dropout", "gelu", "layer_norm", "linear")
)

Patch = pytest.MonkeyPatch


# --- the checks, in short ---------------------------------------------------------------------------------------------


def check_forward() -> None:
    model, batch = tiny.model(BertForPreTraining), tiny.batch()
    out = model(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation)
    expected = reference.run(model.config, model.state_dict(), batch.ids, batch.mask, batch.types)
    real = batch.mask == 1
    # float64 against float64: anything above 1e-10 is another formula, not rounding
    np.testing.assert_allclose(out.prediction_logits.numpy()[real], expected.words[real], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(out.seq_relationship_logits, expected.relation, rtol=1e-10, atol=1e-10)
    loss = reference.mean_loss(expected.words, batch.labels) + reference.mean_loss(expected.relation, batch.relation)
    np.testing.assert_allclose(out.loss.item(), loss, rtol=1e-10)


def check_gradients() -> None:
    model, batch = tiny.model(BertForPreTraining), tiny.batch()
    model.train()

    def loss(*_: Tensor) -> Tensor:
        manual_seed(5)
        return model(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation).loss

    gradcheck(loss, tuple(model.parameters()), fast_mode=True)


def check_dropout() -> None:
    manual_seed(0)
    x = Tensor(np.ones((100, 100)))
    y, again = ops.dropout(x, 0.5).numpy(), ops.dropout(x, 0.5).numpy()
    assert abs(y.mean() - 1.0) < 4 / 100  # four standard deviations of the mean of 10,000 numbers 0 or 2
    assert (y != again).any()


def check_step() -> None:
    """A tied weight moves by one step of Adam, lr, whatever its gradient."""
    model, batch = tiny.model(BertForPreTraining), tiny.batch()
    model(**batch.inputs, labels=batch.labels, next_sentence_label=batch.relation).loss.backward()
    tied = model.bert.embeddings.word_embeddings.weight
    before = tied.numpy().copy()
    AdamW(list(model.parameters()), lr=0.01, weight_decay=0.0).step()
    np.testing.assert_allclose(np.abs(tied.numpy() - before).max(), 0.01, rtol=1e-3)  # eps / |g| is below 1e-3


def every_check() -> None:
    with kernels_off():  # the bugs are planted in the explicit ops; the kernels are held against these elsewhere
        check_layer_norm()
        check_forward()
        check_gradients()
        check_dropout()
        check_step()


# --- the bugs ---------------------------------------------------------------------------------------------------------

BUGS: dict[str, Callable[[Patch], None]] = {}


def bug(plant: Callable[[Patch], None]) -> Callable[[Patch], None]:
    BUGS[plant.__name__] = plant
    return plant


def changed(patch: Patch, owner: Any, name: str, change: Callable[..., Any]) -> None:
    """Replace owner.name by `change(original, *args)`."""
    original = getattr(owner, name)
    patch.setattr(owner, name, lambda *args, **kwargs: change(original, *args, **kwargs))


@bug
def gelu_tanh_for_erf(patch: Patch) -> None:
    patch.setattr(bias_gelu.BiasGelu, "forward", lambda self, x, b: gelu.GeluTanh.forward(self, x + b))
    patch.setattr(
        bias_gelu.BiasGelu, "backward", lambda self, dy: (d := gelu.GeluTanh.backward(self, dy), d.sum(axis=0))
    )


@bug
def gelu_backward_without_the_product_rule(patch: Patch) -> None:
    def backward(self: Op, dy: np.ndarray) -> tuple[np.ndarray, ...]:
        x, bias = self.saved
        dx = dy * gelu.normal_cdf(x + bias)
        return dx, dx.sum(axis=0)

    patch.setattr(bias_gelu.BiasGelu, "backward", backward)


@bug
def layer_norm_eps_1e5(patch: Patch) -> None:
    changed(patch, layer_norm.LayerNorm, "forward", lambda f, op, x, g, b, eps: f(op, x, g, b, eps=1e-5))


def _other_norm(patch: Patch, inverse: Callable[[np.ndarray], np.ndarray]) -> None:
    def forward(self: Op, x: np.ndarray, g: np.ndarray, b: np.ndarray, *, eps: float) -> np.ndarray:
        inv = inverse(x)
        x_hat = (x - x.mean(axis=-1, keepdims=True)) * inv
        self.save(x_hat, inv, g)
        return x_hat * g + b

    patch.setattr(layer_norm.LayerNorm, "forward", forward)


@bug
def layer_norm_unbiased_variance(patch: Patch) -> None:
    _other_norm(patch, lambda x: 1.0 / np.sqrt(x.var(axis=-1, keepdims=True, ddof=1) + 1e-12))


@bug
def layer_norm_eps_outside_the_root(patch: Patch) -> None:
    # with eps 1e-12 hardly a test can see its place; the op's own test takes a larger one
    def forward(self: Op, x: np.ndarray, g: np.ndarray, b: np.ndarray, *, eps: float) -> np.ndarray:
        return (x - x.mean(axis=-1, keepdims=True)) / (x.std(axis=-1, keepdims=True) + eps) * g + b

    patch.setattr(layer_norm.LayerNorm, "forward", forward)


@bug
def layer_norm_backward_without_the_variance(patch: Patch) -> None:
    def backward(self: Op, dy: np.ndarray) -> tuple[np.ndarray, ...]:
        x_hat, inv_std, g = self.saved
        dx = inv_std * (dy * g - (dy * g).mean(axis=-1, keepdims=True))
        return dx, (dy * x_hat).sum(axis=0), dy.sum(axis=0)

    patch.setattr(layer_norm.LayerNorm, "backward", backward)


def _queries_times(patch: Patch, factor: Callable[[int, int], float]) -> None:
    """Attention whose queries come multiplied by factor(N, D)."""

    def forward(f: Any, op: Op, qkv: np.ndarray, **o: Any) -> np.ndarray:
        _, _, N, D = qkv.shape
        return f(op, np.concatenate([qkv[:1] * factor(N, D), qkv[1:]]), **o)

    changed(patch, attention.Attention, "forward", forward)


@bug
def scale_by_the_root_of_h(patch: Patch) -> None:
    _queries_times(patch, lambda N, D: 1 / math.sqrt(N))


@bug
def no_scale(patch: Patch) -> None:
    _queries_times(patch, lambda N, D: math.sqrt(D))


@bug
def heads_split_in_the_wrong_order(patch: Patch) -> None:
    def forward(self: Any, x: Tensor, starts: list[int], maps: Any) -> Tensor:
        wrong = (x.shape[0], self.head_size, self.heads)  # reshape(D, N) where it must be (N, D)
        q, k, v = (p(x).reshape(*wrong).permute(0, 2, 1) for p in (self.query, self.key, self.value))
        return ops.attention(q, k, v, starts=starts).permute(0, 2, 1).reshape(x.shape)

    patch.setattr(bert.BertSelfAttention, "forward", forward)


@bug
def softmax_over_the_wrong_axis(patch: Patch) -> None:
    changed(patch, attention, "softmax_forward", lambda f, x: np.swapaxes(f(np.swapaxes(x, -1, -2)), -1, -2))


@bug
def mask_after_softmax(patch: Patch) -> None:
    """A pad (its score 0) takes its share of the softmax, and only then is set to zero."""

    def with_a_pad(f: Any, x: np.ndarray) -> np.ndarray:
        pad = np.zeros((*x.shape[:-1], 1))
        return f(np.concatenate([x, pad], axis=-1))[..., :-1]

    changed(patch, attention, "softmax_forward", with_a_pad)


@bug
def pads_attended(patch: Patch) -> None:
    changed(patch, packing, "_mask", lambda f, mask, shape: f(None, shape))


@bug
def sequences_attend_to_each_other(patch: Patch) -> None:
    def forward(f: Any, op: Op, qkv: np.ndarray, *, starts: Any, **o: Any) -> np.ndarray:
        return f(op, qkv, starts=[0, starts[-1]], **o)

    changed(patch, attention.Attention, "forward", forward)


@bug
def token_types_passed_as_the_mask(patch: Patch) -> None:
    def swapped(f: Any, config: Any, ids: Any, mask: Any, types: Any, *rest: Any) -> Any:
        return f(config, ids, (types > 0).astype(int), mask, *rest)

    changed(patch, bert, "pack", swapped)


@bug
def token_types_ignored(patch: Patch) -> None:
    changed(patch, bert, "pack", lambda f, config, ids, mask, types, *rest: f(config, ids, mask, None, *rest))


@bug
def positions_start_at_one(patch: Patch) -> None:
    def shifted(f: Any, *args: Any) -> Any:
        batch = f(*args)
        batch.position_ids = batch.position_ids + 1
        return batch

    changed(patch, bert, "pack", shifted)


@bug
def positions_count_only_real_tokens(patch: Patch) -> None:
    def squeezed(f: Any, *args: Any) -> Any:
        batch = f(*args)
        batch.position_ids = np.concatenate([np.arange(n) for n in np.diff(batch.starts)])
        return batch

    changed(patch, bert, "pack", squeezed)


@bug
def positions_run_over_the_whole_batch(patch: Patch) -> None:
    def flat(f: Any, *args: Any) -> Any:
        batch = f(*args)
        batch.position_ids = batch.places % 11
        return batch

    changed(patch, bert, "pack", flat)


@bug
def embeddings_without_layer_norm(patch: Patch) -> None:
    def forward(self: Any, batch: Any) -> Tensor:
        words, types = self.word_embeddings(batch.input_ids), self.token_type_embeddings(batch.token_type_ids)
        return words + types + self.position_embeddings(batch.position_ids)

    patch.setattr(bert.BertEmbeddings, "forward", forward)


@bug
def norm_before_the_residual_is_added(patch: Patch) -> None:
    patch.setattr(bert.BertOutput, "forward", lambda self, h, x: self.LayerNorm(self.dense(h)) + x)


@bug
def feed_forward_without_activation(patch: Patch) -> None:
    patch.setattr(bert.BertIntermediate, "forward", lambda self, x: self.dense(x))


@bug
def pooler_without_tanh(patch: Patch) -> None:
    patch.setattr(bert.BertPooler, "forward", lambda self, x: self.dense(x))


@bug
def pooler_on_the_wrong_token(patch: Patch) -> None:
    patch.setattr(
        packing.PackedBatch, "first_tokens", lambda self, x: ops.take_rows(x, np.asarray(self.starts[1:]) - 1)
    )


@bug
def dropout_on_in_evaluation(patch: Patch) -> None:
    changed(patch, ops, "dropout", lambda f, x, p, training=True, key=None: f(x, p, training=True, key=key))


@bug
def attention_dropout_on_in_evaluation(patch: Patch) -> None:
    for name in ("attention", "self_attention"):
        changed(patch, ops, name, lambda f, *x, training=False, **o: f(*x, training=True, **o))


@bug
def dropout_not_rescaled(patch: Patch) -> None:
    changed(patch, dropout, "dropout_scale", lambda f, x, p, key: f(x, p, key) * (1.0 - p))


@bug
def the_same_mask_in_every_layer(patch: Patch) -> None:
    changed(patch, dropout, "next_key", lambda f: dropout.Key(0, 0))


@bug
def another_mask_in_backward(patch: Patch) -> None:
    def backward(self: Op, dy: np.ndarray) -> np.ndarray:
        p, key = self.saved
        return dy * dropout.dropout_scale(dy, p, key._replace(stream=key.stream + 1000))

    patch.setattr(dropout.Dropout, "backward", backward)


@bug
def another_attention_mask_in_backward(patch: Patch) -> None:
    def backward(f: Any, op: Op, dy: np.ndarray) -> Any:
        *rest, key = op.saved
        op.saved = (*rest, None if key is None else key._replace(stream=key.stream + 1000))
        return f(op, dy)

    changed(patch, attention.Attention, "backward", backward)


@bug
def words_head_without_its_layer_norm(patch: Patch) -> None:
    patch.setattr(heads.BertPredictionHeadTransform, "forward", lambda self, x: self.activation(self.dense(x)))


@bug
def words_head_without_its_transform(patch: Patch) -> None:
    patch.setattr(heads.BertPredictionHeadTransform, "forward", lambda self, x: x)


@bug
def decoder_untied(patch: Patch) -> None:
    def untied(f: Any, self: Any, config: Any, embeddings: Any) -> None:
        f(self, config, embeddings)
        copy = heads.Parameter(*embeddings.shape)
        copy.data = np.ones(embeddings.shape)
        self.decoder.weight = copy

    changed(patch, heads.BertLMPredictionHead, "__init__", untied)


@bug
def decoder_bias_forgotten(patch: Patch) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        return ops.matmul(self.transform(x), self.decoder.weight.T)

    patch.setattr(heads.BertLMPredictionHead, "forward", forward)


@bug
def tied_gradient_counted_once(patch: Patch) -> None:
    def replace(f: Any, leaf: Tensor, dx: np.ndarray, made_now: set[Tensor], *, owned: bool) -> None:
        leaf.grad = None
        f(leaf, dx, made_now, owned=owned)

    changed(patch, autograd, "_accumulate", replace)


@bug
def tied_weight_stepped_twice(patch: Patch) -> None:
    from minibert.nn import Module

    patch.setattr(Module, "named_parameters", Module._all_names)


@bug
def loss_averaged_over_all_positions(patch: Patch) -> None:
    def forward(f: Any, op: Op, logits: np.ndarray, *, labels: np.ndarray, ignore_index: int) -> np.ndarray:
        loss = f(op, logits, labels=labels, ignore_index=ignore_index)
        return loss * (labels != ignore_index).sum() / labels.size

    changed(patch, cross_entropy.CrossEntropy, "forward", forward)


@bug
def label_zero_not_counted(patch: Patch) -> None:
    def forward(f: Any, op: Op, logits: np.ndarray, *, labels: np.ndarray, ignore_index: int) -> np.ndarray:
        return f(op, logits, labels=np.where(labels == 0, ignore_index, labels), ignore_index=ignore_index)

    changed(patch, cross_entropy.CrossEntropy, "forward", forward)


@bug
def positions_without_a_label_counted_as_zero(patch: Patch) -> None:
    def forward(f: Any, op: Op, logits: np.ndarray, *, labels: np.ndarray, ignore_index: int) -> np.ndarray:
        return f(op, logits, labels=np.where(labels == ignore_index, 0, labels), ignore_index=ignore_index)

    changed(patch, cross_entropy.CrossEntropy, "forward", forward)


@bug
def cross_entropy_backward_not_averaged(patch: Patch) -> None:
    changed(patch, cross_entropy.CrossEntropy, "backward", lambda f, op, d: f(op, d) * op.saved[3])


@bug
def next_sentence_labels_reversed(patch: Patch) -> None:
    changed(patch, heads, "sequence_loss", lambda f, x, y: f(x, None if y is None else 1 - np.asarray(y)))


@bug
def linear_weight_transposed(patch: Patch) -> None:
    def forward(self: Op, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
        weight = weight.T if weight.shape[0] == weight.shape[1] else weight
        self.save(x, weight)
        return x @ weight.T + (0.0 if bias is None else bias)

    patch.setattr(linear.Linear, "forward", forward)


@bug
def bias_gradient_not_summed(patch: Patch) -> None:
    def backward(f: Any, op: Op, dy: np.ndarray) -> Any:
        dx, dweight, _ = f(op, dy)
        return dx, dweight, dy[0]

    changed(patch, linear.Linear, "backward", backward)


@bug
def embedding_gradient_overwritten_instead_of_added(patch: Patch) -> None:
    def scatter(index: np.ndarray, rows: np.ndarray, length: int) -> np.ndarray:
        out = np.zeros((length, *rows.shape[1:]))
        out[index] = rows
        return out

    patch.setattr(backend, "scatter_add", scatter)


@bug
def residual_added_in_place(patch: Patch) -> None:
    """Writing into an array that the tape still needs: refused, not silently wrong."""

    def forward(self: Any, context: Tensor, x: Tensor) -> Tensor:
        x.data += self.dense(context).data
        return self.LayerNorm(x)

    patch.setattr(bert.BertSelfOutput, "forward", forward)


# --- the test ---------------------------------------------------------------------------------------------------------


def test_the_checks_pass_without_a_bug() -> None:
    every_check()


@pytest.mark.parametrize("name", sorted(BUGS))
def test_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    with pytest.raises((AssertionError, GradcheckError, ValueError, IndexError)):
        every_check()
