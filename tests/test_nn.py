"""Modules: names, state, modes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from minibert import BertForMaskedLM
from minibert.autograd import Tensor
from minibert.config import ACTIVATIONS
from minibert.nn import Dropout, Embedding, LayerNorm, Linear, Module, ModuleList, Parameter, skip_init
from tests import tiny


class Pair(Module):
    def __init__(self) -> None:
        self.first = Linear(3, 2)
        self.rest = ModuleList([LayerNorm(2), Embedding(5, 3)])


def test_names_are_attribute_paths() -> None:
    assert [name for name, _ in Pair().named_parameters()] == [
        "first.weight", "first.bias", "rest.0.weight", "rest.0.bias", "rest.1.weight",
    ]  # fmt: skip
    assert [name for name, _ in Pair().named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert Pair().num_parameters() == 6 + 2 + 2 + 2 + 15


def test_state_goes_round() -> None:
    a, b = Pair(), Pair()
    b.load_state_dict(a.state_dict())
    np.testing.assert_array_equal(b.first.weight, a.first.weight)
    b.first.weight.data[0, 0] = 99.0
    assert a.first.weight.data[0, 0] != 99.0  # a copy, unless assigned
    b.load_state_dict(a.state_dict(), assign=True)
    assert b.first.weight.data is a.first.weight.data


def test_state_that_does_not_fit_changes_nothing() -> None:
    model = Pair()
    before = {name: x.copy() for name, x in model.state_dict().items()}
    state = {name: x + 1.0 for name, x in before.items()}
    with pytest.raises(ValueError, match=r"missing \['first.bias'\], unexpected \['other'\]"):
        model.load_state_dict({"other" if name == "first.bias" else name: x for name, x in state.items()})
    with pytest.raises(ValueError, match=r"rest.1.weight: expected shape \(5, 3\), got \(3, 5\)"):
        model.load_state_dict({**state, "rest.1.weight": np.zeros((3, 5))})
    for name, x in model.state_dict().items():
        np.testing.assert_array_equal(x, before[name])
    model.load_state_dict({"first.bias": np.ones(2)}, strict=False)
    np.testing.assert_array_equal(model.first.bias, [1.0, 1.0])


def test_dtypes() -> None:
    model = Pair().to(dtype="float64")
    assert all(p.dtype == np.float64 for p in model.parameters())
    model.load_state_dict({name: x.astype(np.float32) for name, x in model.state_dict().items()})
    assert model.first.weight.dtype == np.float64
    with pytest.raises(ValueError, match="float32 or float64"):
        model.to(dtype="float16")


def test_conversion_keeps_the_tie() -> None:
    model = tiny.model(BertForMaskedLM).to(dtype="float32")
    assert model.cls.predictions.decoder.weight is model.bert.embeddings.word_embeddings.weight


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="unknown device"):
        Pair().to(device="tpu")


def test_modes_reach_every_module() -> None:
    model = Pair()
    assert all(m.training for _, m in model.named_modules())
    model.eval()
    assert not any(m.training for _, m in model.named_modules())


def test_zero_grad() -> None:
    model = Pair()
    model.first(Tensor(np.ones((1, 3), np.float32))).sum().backward()
    assert model.first.weight.grad is not None
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_skip_init_takes_no_memory() -> None:
    with skip_init():
        layer = Linear(10**6, 10**6)
    assert layer.weight.shape == (10**6, 10**6)
    assert not layer.weight.data.flags.writeable
    Linear(2, 2).weight.data[0, 0] = 1.0


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_copies_compute_the_same(activation: str) -> None:
    model = tiny.model(BertForMaskedLM, hidden_act=activation)
    expected = model(**tiny.batch().inputs).logits.numpy()
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(other(**tiny.batch().inputs).logits, expected)
        assert not other.training
        words = other.bert.embeddings.word_embeddings.weight
        assert other.cls.predictions.decoder.weight is words  # tied still,
        assert words is not model.bert.embeddings.word_embeddings.weight  # and a copy


def test_state_of_lists() -> None:
    model, zeros = Pair(), {"first.bias": [0, 0.5], "rest.0.weight": Tensor(np.ones(2))}
    model.load_state_dict(zeros, strict=False)
    np.testing.assert_array_equal(model.first.bias, [0.0, 0.5])
    assert model.first.bias.dtype == np.float32
    for wrong in ([[1.0], [2.0, 3.0]], "weights", None):
        with pytest.raises(ValueError, match=r"^first\.bias: expected"):
            model.load_state_dict({"first.bias": wrong}, strict=False)


def test_places_without_their_names() -> None:
    model = Pair()
    assert (model.device, model.dtype) == ("cpu", np.float32)
    assert model.to("cpu", "float64").dtype == np.float64
    assert model.to(np.float32).dtype == np.float32
    for wrong in ("tpu", np.int64, 3):
        with pytest.raises(ValueError, match="float32 or float64, on cpu or cuda"):
            model.to(wrong)
    with pytest.raises(ValueError, match="has no parameters"):
        _ = Dropout(0.1).dtype


def test_what_a_module_looks_like() -> None:
    assert repr(Linear(3, 2)) == "Linear(weight (2, 3), bias (2,))"
    assert repr(Pair()) == (
        "Pair(\n"
        "  first: Linear(weight (2, 3), bias (2,))\n"
        "  rest: ModuleList(\n"
        "    0: LayerNorm(weight (2,), bias (2,))\n"
        "    1: Embedding(weight (5, 3))\n"
        "  )\n"
        ")"
    )
    look = repr(tiny.model(BertForMaskedLM))
    assert "0 to 1: BertLayer(" in look  # twice the same, said once
    assert look.count("BertLayer") == 1
    assert "dropout: Dropout(p=0.1)" in look


def test_parts_in_lists_and_dictionaries_are_parts() -> None:
    class Net(Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [Linear(2, 3), Linear(3, 2)]
            self.scales = (Parameter(2), Parameter(np.ones(3, np.float32)))
            self.heads = {"start": Linear(2, 1)}

    net = Net()
    names = [name for name, _ in net.named_parameters()]
    assert names == [
        "scales.0", "scales.1", "layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias",
        "heads.start.weight", "heads.start.bias",
    ]  # fmt: skip
    net.eval()
    assert not net.layers[1].training
    other = Net()
    other.load_state_dict(net.state_dict())
    np.testing.assert_array_equal(other.layers[1].weight, net.layers[1].weight)


def test_a_parameter_is_made_of_lengths_or_of_an_array() -> None:
    values = np.arange(6.0).reshape(2, 3)
    for given in (values, Tensor(values)):
        parameter = Parameter(given)
        assert parameter.requires_grad
        assert parameter.dtype == np.float64
        np.testing.assert_array_equal(parameter, values)
    assert Parameter(np.int64(2), 3).shape == (2, 3)
    for wrong in ([1.0, 2.0], (2, 3), "2", None):
        with pytest.raises(ValueError, match=r"Parameter\(2, 3\), or of an array"):
            Parameter(wrong)
    with pytest.raises(ValueError, match="length"):
        Parameter(2, -1)
    with pytest.raises(ValueError, match="floating"):
        Parameter(np.array([1, 2]))
