"""A kernel or a fused op runs in the place of the code that it was written for, and of no other."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from minibert import (
    AdamW,
    BertForMaskedLM,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    backend,
    no_grad,
    ops,
)
from minibert.autograd import Op, Tensor
from minibert.bert import BertIntermediate, BertLayer, BertSelfAttention
from minibert.heads.pretraining import BertLMPredictionHead
from minibert.kernels.cpu import encoder
from minibert.nn import Embedding, LayerNorm, Linear
from minibert.outputs import BertModelOutput
from tests import tiny
from tests.ops.catalogue import all_ops


@pytest.fixture(autouse=True)
def kernels_at_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend._switch, "smallest", 0)


# --- ops --------------------------------------------------------------------------------------------------------------


class Seven(Op):
    """7 everywhere, and a slope of 3: no kernel gives that."""

    def forward(self, *xs: np.ndarray, **options: Any) -> np.ndarray:
        return xs[0] * 0 + 7

    def backward(self, dy: np.ndarray) -> tuple[np.ndarray | None, ...]:
        return dy * 3, *[None] * (len(self.inputs) - 1)


def own_code_runs(op: type[Op], inputs: int = 1) -> None:
    tensors = [Tensor(np.ones((4, 5), np.float32), requires_grad=True) for _ in range(inputs)]
    y = op.apply(*tensors)
    np.testing.assert_array_equal(y, np.full((4, 5), 7.0))
    y.sum().backward()
    np.testing.assert_array_equal(tensors[0].grad, np.full((4, 5), 3.0))


@pytest.mark.parametrize("name", sorted({*backend.CPU_KERNELS, *backend.CUDA_KERNELS}))
def test_an_op_is_not_replaced_for_its_name(name: str) -> None:
    shipped = all_ops()[name]
    assert shipped.kernel_name == name
    for base in (Seven, shipped):
        own = type(shipped.__name__, (base,), {"forward": Seven.forward, "backward": Seven.backward})
        assert own.name == name
        own_code_runs(own)
        own_code_runs(own, inputs=3)


def test_the_kernels_are_those_of_the_library_s_ops() -> None:
    named = {name: op.kernel_name for name, op in all_ops().items() if op.kernel_name is not None}
    assert named == {name: name for name in {*backend.CPU_KERNELS, *backend.CUDA_KERNELS}}
    x = Tensor(np.ones((3, 4), np.float32), requires_grad=True)
    op = ops.gelu(x).creator
    assert op is not None
    assert op.kernel is not None


def test_a_subclass_runs_what_it_overrides() -> None:
    softmax = all_ops()["softmax"]

    class Hot(softmax):  # type: ignore[misc, valid-type]
        def forward(self, x: np.ndarray) -> np.ndarray:
            y: np.ndarray = super().forward(x / 2.0)
            return y

    x = np.random.default_rng(0).standard_normal((30, 40))
    with backend.kernels_off():
        explicit = ops.softmax(Tensor(x / 2.0))
    np.testing.assert_array_equal(Hot.apply(Tensor(x)), explicit)


@pytest.mark.parametrize("method", ["forward", "backward"])
def test_a_method_replaced_by_assignment_runs(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = all_ops()["gelu"]
    monkeypatch.setattr(shipped, method, getattr(Seven, method))
    x = Tensor(np.ones((3, 4), np.float32), requires_grad=True)
    y = ops.gelu(x)
    assert y.creator is not None
    assert y.creator.kernel is None
    if method == "backward":
        y.sum().backward()
        np.testing.assert_array_equal(x.grad, np.full((3, 4), 3.0))


def test_an_op_made_of_others_follows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    linear = importlib.import_module("minibert.ops.linear").Linear
    forward = linear.forward
    x, w, b = (Tensor(np.ones(shape, np.float32)) for shape in ((3, 4), (5, 4), (5,)))
    before = ops.linear_cross_entropy(x, w, b, [0, 1, 2]).item()
    monkeypatch.setattr(linear, "forward", lambda op, *arrays: forward(op, *arrays) * np.arange(5, dtype=np.float32))
    assert ops.linear_cross_entropy(x, w, b, [0, 1, 2]).item() != before


# --- models -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def kernel_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []
    kernel = encoder.encoder

    def counted(x: np.ndarray, *rest: Any, **options: Any) -> np.ndarray:
        seen.append(len(x))
        return kernel(x, *rest, **options)

    monkeypatch.setattr(encoder, "encoder", counted)
    return seen


def states(model: Any) -> np.ndarray:
    with no_grad():
        found: np.ndarray = model(**tiny.batch().inputs).last_hidden_state.numpy()
    return found


class Doubled(Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2.0


class Shifted(LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0.5


class Halved(Embedding):
    def forward(self, ids: Any) -> Tensor:
        return super().forward(ids) * 0.5


class Identity(BertLayer):
    def forward(self, x: Tensor, *rest: Any) -> Tensor:
        return x


class Quiet(BertSelfAttention):
    def forward(self, x: Tensor, *rest: Any) -> Tensor:
        return super().forward(x, *rest) * 0.0


class Narrow(BertIntermediate):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 0.0


PLACES: dict[str, Callable[[Any], tuple[Any, str, type]]] = {
    "query": lambda m: (m.encoder.layer[1].attention.self, "query", Doubled),
    "value": lambda m: (m.encoder.layer[1].attention.self, "value", Doubled),
    "attention dense": lambda m: (m.encoder.layer[1].attention.output, "dense", Doubled),
    "attention norm": lambda m: (m.encoder.layer[1].attention.output, "LayerNorm", Shifted),
    "intermediate dense": lambda m: (m.encoder.layer[1].intermediate, "dense", Doubled),
    "output dense": lambda m: (m.encoder.layer[1].output, "dense", Doubled),
    "output norm": lambda m: (m.encoder.layer[1].output, "LayerNorm", Shifted),
    "attention": lambda m: (m.encoder.layer[1].attention, "self", Quiet),
    "intermediate": lambda m: (m.encoder.layer[1], "intermediate", Narrow),
    "words": lambda m: (m.embeddings, "word_embeddings", Halved),
    "types": lambda m: (m.embeddings, "token_type_embeddings", Halved),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_part_of_one_s_own_runs(place: str) -> None:
    """With and without a tape the same, and not what the part of the library would give."""
    model = tiny.model(BertModel)
    before = states(model)
    owner, name, kind = PLACES[place](model)
    getattr(owner, name).__class__ = kind
    after = states(model)
    assert np.abs(after - before).max() > 1e-3
    taped = model(**tiny.batch().inputs).last_hidden_state
    assert taped.requires_grad
    np.testing.assert_allclose(after, taped, rtol=0, atol=1e-12)  # float64: two orders of the same sums
    taped.sum().backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if not n.startswith("pooler"))


def test_a_layer_of_one_s_own_runs() -> None:
    model = tiny.model(BertModel)
    model.encoder.layer.modules[1].__class__ = Identity
    with no_grad():
        out = model(**tiny.batch().inputs, output_hidden_states=True)
    np.testing.assert_array_equal(states(model), out.hidden_states[1])


def test_a_forward_set_on_an_instance_runs() -> None:
    model = tiny.model(BertModel)
    before = states(model)
    dense = model.encoder.layer[0].output.dense
    dense.forward = lambda x: ops.linear(x, dense.weight, dense.bias) * 2.0
    assert np.abs(states(model) - before).max() > 1e-3


@pytest.mark.parametrize(
    "name", ["linear", "projections", "self_attention", "add_layer_norm", "bias_gelu", "dropout", "layer_norm"]
)
def test_a_replaced_function_runs(name: str, monkeypatch: pytest.MonkeyPatch, kernel_calls: list[int]) -> None:
    calls = []
    original = getattr(ops, name)

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(1)
        return original(*args, **options)

    model = tiny.model(BertModel)
    expected = states(model)
    assert kernel_calls.pop()
    monkeypatch.setattr(ops, name, counted)
    np.testing.assert_allclose(states(model), expected, rtol=0, atol=1e-12)
    assert len(calls) >= 2, "once a layer, or more"
    assert not kernel_calls


def _change(model: Any, what: str) -> None:
    layer = model.encoder.layer[1]
    if what == "activation":
        layer.intermediate.activation = ops.tanh
    elif what == "epsilon":
        layer.attention.output.LayerNorm.eps = 0.5
    elif what == "heads":
        layer.attention.self.heads, layer.attention.self.head_size = 4, 3
    elif what == "width":
        for dense, axis in ((layer.intermediate.dense, 0), (layer.output.dense, 1)):
            dense.weight.data = np.concatenate([dense.weight.data] * 2, axis=axis)
        layer.intermediate.dense.bias.data = np.concatenate([layer.intermediate.dense.bias.data] * 2)
    else:
        layer.attention.self.training = True


@pytest.mark.parametrize("what", ["activation", "epsilon", "heads", "width", "dropout"])
def test_layers_that_differ_are_computed_each_by_itself(what: str, kernel_calls: list[int]) -> None:
    model = tiny.model(BertModel)
    before = states(model)
    assert kernel_calls.pop()
    _change(model, what)
    after = states(model)
    assert not kernel_calls
    assert np.abs(after - before).max() > 1e-3
    if what != "dropout":
        with backend.kernels_off():
            np.testing.assert_allclose(states(model), after, rtol=0, atol=1e-12)


@pytest.mark.parametrize("what", ["head", "decoder"])
def test_the_loss_alone_is_that_of_the_logits(what: str) -> None:
    model, batch = tiny.model(BertForMaskedLM), tiny.batch()
    head = model.cls.predictions
    if what == "head":
        forward = BertLMPredictionHead.forward
        head.__class__ = type("Cooled", (BertLMPredictionHead,), {"forward": lambda self, x: forward(self, x) * 0.5})
    else:
        head.decoder.__class__ = Doubled
    whole = model(**batch.inputs, labels=batch.labels).loss
    alone = model(**batch.inputs, labels=batch.labels, return_logits=False).loss
    assert alone.item() == pytest.approx(whole.item(), rel=1e-12)


# --- optimisers -------------------------------------------------------------------------------------------------------


class SignStep(AdamW):
    def new_state(self, param: Any) -> dict[str, Any]:
        return {**super().new_state(param), "moved": 0.0}

    def update(self, param: Any, grad: Any, state: dict[str, Any], options: Any) -> None:
        state["moved"] += options["lr"]
        param -= options["lr"] * np.sign(grad)


def test_an_update_of_one_s_own_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    w = Tensor(np.ones((4, 5), np.float32), requires_grad=True)
    w.grad = Tensor(np.full((4, 5), 8.0, np.float32))
    optimizer = SignStep([w], lr=0.25)
    optimizer.step()
    np.testing.assert_array_equal(w, np.full((4, 5), 0.75))
    assert optimizer.state[0]["moved"] == 0.25
    plain = AdamW([w], lr=0.25)
    monkeypatch.setattr("minibert.optim.adam.adam_update", lambda param, *rest, **options: param.fill(3.0))
    plain.step()
    np.testing.assert_array_equal(w, np.full((4, 5), 3.0))


# --- the model inside a head ------------------------------------------------------------------------------------------


class Scaled(BertModel):
    """Its own forward halves the states."""

    def forward(self, input_ids: Any = None, **inputs: Any) -> Any:
        out = super().forward(input_ids, **inputs)
        out.last_hidden_state = out.last_hidden_state * 0.5
        out.pooler_output = None if out.pooler_output is None else out.pooler_output * 2.0
        return out


HEADS = (
    BertForMaskedLM, BertForTokenClassification, BertForQuestionAnswering, BertForNextSentencePrediction,
    BertForSequenceClassification, BertForPreTraining,
)  # fmt: skip


@pytest.mark.parametrize("how", ["class", "instance", "patch"])
@pytest.mark.parametrize("kind", HEADS)
def test_a_head_runs_the_forward_of_the_model_inside(kind: Any, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = tiny.model(kind), tiny.batch().inputs
    if kind is BertForMaskedLM:
        expected = model.cls.predictions(model.bert(**inputs).last_hidden_state * 0.5).numpy()
    before = model(**inputs).to_tuple()
    if how == "class":
        model.bert.__class__ = Scaled
    else:
        forward = BertModel.forward

        def scaled(bert: BertModel, input_ids: Any = None, **inputs: Any) -> Any:
            out = forward(bert, input_ids, **inputs)
            pooled = None if out.pooler_output is None else out.pooler_output * 2.0
            return BertModelOutput(out.last_hidden_state * 0.5, pooled, out.hidden_states, out.attentions)

        if how == "instance":
            model.bert.forward = scaled.__get__(model.bert)
        else:
            monkeypatch.setattr(BertModel, "forward", scaled)
    after = model(**inputs, output_hidden_states=True)
    assert len(after.hidden_states) == model.config.num_hidden_layers + 1
    for ours, theirs in zip(after.to_tuple()[: len(before)], before, strict=True):
        assert np.abs(ours.data - theirs.data).max() > 1e-4
    if kind is BertForMaskedLM:
        shown = np.asarray(inputs["attention_mask"]) == 1
        np.testing.assert_allclose(after.logits.data[shown], expected[shown], rtol=0, atol=1e-12)
    sum(ops.tanh(x).sum() for x in after.to_tuple()[: len(before)]).backward()
    assert all(p.grad is not None for name, p in model.bert.named_parameters() if not name.startswith("pooler"))


def test_a_subclass_that_leaves_forward_alone_is_as_fast(kernel_calls: list[int]) -> None:
    model = tiny.model(BertForMaskedLM)
    model.bert.__class__ = type("Named", (BertModel,), {})
    with no_grad():
        model(**tiny.batch().inputs)
    assert kernel_calls


def test_a_forward_that_gives_a_head_no_states_is_refused() -> None:
    model = tiny.model(BertForMaskedLM)
    model.bert.forward = lambda input_ids=None, **inputs: BertModelOutput(Tensor(np.zeros((2, 3))))
    with pytest.raises(ValueError, match=r"BertModel.forward must return a BertModelOutput with last_hidden_state"):
        model(**tiny.batch().inputs)
