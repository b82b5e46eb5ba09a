"""What all optimisers share: which parameters are stepped, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from minibert import nn
from minibert.autograd import Tensor
from minibert.optim import (
    Adam,
    AdamW,
    BertAdam,
)

ALL = [Adam, AdamW, BertAdam]


def parameter(values: Any, grad: Any = None) -> Tensor:
    p = Tensor(np.array(values, np.float64), requires_grad=True)
    if grad is not None:
        p.grad = Tensor(np.array(grad, np.float64))
    return p


@pytest.mark.parametrize("make", ALL)
def test_a_parameter_without_gradient_stays_and_so_does_its_step_count(make: Any) -> None:
    p, q = parameter([1.0], [1.0]), parameter([1.0])
    optimizer = make([p, q], weight_decay=0.5)
    optimizer.step()
    assert q.data[0] == 1.0, "not even decay"
    q.grad = Tensor(np.array([1.0]))
    optimizer.step()
    assert (optimizer.state[0]["step"], optimizer.state[1]["step"]) == (2, 1)


def test_zero_grad_forgets_gradients() -> None:
    # Without it the second backward adds to the first one's gradient.
    p = parameter([2.0])
    optimizer = AdamW([p])
    for _ in range(3):
        optimizer.zero_grad()
        (p * 5.0).sum().backward()
        assert p.grad is not None
        assert p.grad.data[0] == 5.0
    (p * 5.0).sum().backward()
    assert p.grad is not None
    assert p.grad.data[0] == 10.0
    optimizer.zero_grad()
    assert p.grad is None


@pytest.mark.parametrize("make", ALL)
def test_the_same_parameter_twice_is_refused(make: Any) -> None:
    p = parameter([1.0])
    with pytest.raises(ValueError, match=f"{make.__name__}: parameter 1 is there twice; a tied weight"):
        make([p, p])
    with pytest.raises(ValueError, match="parameter decoder.weight is there twice"):
        make([{"params": [p]}, {"params": [p], "param_names": ["decoder.weight"]}])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -1e-3}, "lr must be"),
        ({"lr": math.nan}, "lr must be"),
        ({"lr": "1e-3"}, "lr must be"),
        ({"eps": -1e-8}, "eps must be"),
        ({"weight_decay": -0.1}, "weight_decay must be"),
        ({"betas": (1.0, 0.999)}, "betas must be"),
        ({"betas": (0.9, -0.1)}, "betas must be"),
        ({"betas": 0.9}, "betas must be"),
    ],
)
@pytest.mark.parametrize("make", ALL)
def test_bad_options(make: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"{make.__name__}: {message}"):
        make([parameter([1.0])], **options)
    with pytest.raises(ValueError, match=f"{make.__name__}: {message}"):
        make([{"params": [parameter([1.0])], **options}])


def test_bad_parameters() -> None:
    p = parameter([1.0])
    with pytest.raises(ValueError, match="got no parameters"):
        AdamW([])
    with pytest.raises(ValueError, match="expected a list of parameters or groups, got one Tensor"):
        AdamW(p)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must be a Tensor, got ndarray"):
        AdamW([np.ones(3)])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="parameter 0 has requires_grad=False"):
        AdamW([Tensor(np.ones(3))])
    with pytest.raises(ValueError, match="unknown option 'momentum'; the options are lr, betas, eps, weight_decay"):
        AdamW([{"params": [p], "momentum": 0.9}])
    with pytest.raises(ValueError, match='needs "params"'):
        AdamW([{"parameters": [p]}])
    with pytest.raises(ValueError, match="a mixture"):
        AdamW([p, {"params": [parameter([1.0])]}])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="1 params but 2 param_names"):
        AdamW([{"params": [p], "param_names": ["a", "b"]}])
    with pytest.raises(ValueError, match="max_grad_norm must be above 0"):
        BertAdam([p], max_grad_norm=0.0)


@pytest.mark.parametrize("make", ALL)
def test_a_gradient_that_does_not_fit_stops_the_step_before_it_begins(make: Any) -> None:
    p, q = parameter([1.0], [1.0]), parameter([1.0, 2.0], [1.0, 1.0])
    assert q.grad is not None
    q.grad.data = np.ones(1)  # another array put into the gradient: assigned as q.grad it would have been refused
    optimizer = make([{"params": [p]}, {"params": [q], "param_names": ["dense.bias"]}])
    with pytest.raises(ValueError, match=r"dense\.bias is \(2,\) float64, but its gradient is \(1,\) float64"):
        optimizer.step()
    assert p.data[0] == 1.0


def test_a_model_converted_under_way_is_refused() -> None:
    model = nn.Linear(2, 2)
    optimizer = AdamW(model.parameters())
    for dtype in ("float32", "float64"):
        model.to(dtype=dtype)
        for p in model.parameters():
            p.grad = Tensor(np.ones(p.shape, dtype))
        if dtype == "float32":
            optimizer.step()
    with pytest.raises(ValueError, match="is .* float64, but its state 'm' is .* float32; convert a model before"):
        optimizer.step()


@pytest.mark.parametrize("make", ALL)
def test_numbers_of_numpy_are_numbers(make: Any) -> None:
    """The same steps to the bit as with Python's numbers, in float32: a float64 scalar must not widen anything."""

    def stepped(number: Any) -> list[float]:
        p = Tensor(np.array([0.5, -2.0], np.float32), requires_grad=True)
        options = {"lr": 0.25, "betas": (0.5, 0.75), "eps": 0.125, "weight_decay": 0.5, "max_grad_norm": 2.0}
        numbers = {k: tuple(map(number, v)) if isinstance(v, tuple) else number(v) for k, v in options.items()}
        optimizer = make([p], **numbers)
        for _ in range(3):
            p.grad = Tensor(np.array([1.0, -3.0], np.float32))
            optimizer.step()
            optimizer.param_groups[0]["lr"] = number(0.125)
        assert p.dtype == np.float32
        assert all(type(value) in (float, tuple) for k, value in optimizer.state_dict()["param_groups"][0].items()
                   if k in ("eps", "weight_decay", "betas"))  # fmt: skip
        return p.data.tolist()

    expected = stepped(float)
    for number in (np.float32, np.float64, lambda x: np.array(x, np.float32)):
        assert stepped(number) == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": True}, "lr must be a finite number, 0 or more, got True"),
        ({"lr": "1e-3"}, "lr must be a finite number, 0 or more, got '1e-3'"),
        ({"betas": ("a", 0.9)}, "betas must be two numbers"),
        ({"max_grad_norm": "1"}, "max_grad_norm must be above 0, or None for none, got '1'"),
        ({"max_grad_norm": True}, "max_grad_norm must be above 0, or None for none, got True"),
    ],
)
def test_what_is_no_number(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        AdamW([parameter([1.0])], **options)
