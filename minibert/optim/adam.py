"""Adam, in the three forms that BERT meets.

Kingma & Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1. With gradient g, rate lr and step
t = 1, 2, ...:

    m <- beta1 m + (1 - beta1) g            mean of the gradient: where to go
    v <- beta2 v + (1 - beta2) g**2         mean of its square: how far to trust it
    mhat = m / (1 - beta1**t)               both start at zero; dividing by the sum of the weights so far
    vhat = v / (1 - beta2**t)               takes the pull towards it out again (section 3)
    p <- p - lr mhat / (sqrt(vhat) + eps)   eps outside the root

Weight decay w enters in one of two ways:

    L2          g <- g + w p, before all else. Adam then divides the decay by sqrt(v), too, so that the weights with
                the largest gradients decay least.
    decoupled   p <- p - lr w p, besides the step: Loshchilov & Hutter, "Decoupled Weight Decay Regularization", 2019,
                algorithm 2.

    Adam        L2, bias correction: the classic
    AdamW       decoupled, bias correction: what people fine-tune BERT with
    BertAdam    decoupled, no bias correction, eps 1e-6: what Google pretrained BERT with (Devlin et al. 2019,
                appendix A.2, and the code released with it)

Without bias correction the first steps are larger. Under a constant gradient mhat / sqrt(vhat) is 1 at each step,
but m / sqrt(v) begins at 0.1 / sqrt(0.001) = 3.2, climbs to 6.6, and is below 1.1 only after 1,750 steps. The long
warm-up of pretraining hides that; in fine-tuning on a small set it shows.

How the numbers lie in memory. The state m and v of all parameters is one flat array, cut into views: it belongs to
the optimiser alone, nobody else can replace it, and memory in one piece comes in large pages. Parameters and
gradients stay the arrays they are. As views of flat arrays they could be stepped in one call; but a step is bound
by memory, and walking over the 199 arrays of BERT-base costs a fraction of a millisecond of its fifty, while a flat
gradient would have to be gathered, 0.9 GB more to read and write, and a flat parameter would be torn off by whoever
gives the model a new array (`to`, `load_state_dict`, a checkpoint mapped from a file), and be read-only as a whole
as soon as a tape holds a part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from minibert import backend
from minibert.backend import Array
from minibert.number_like import is_float
from minibert.optim.clip import norm_and_factor
from minibert.optim.optimizer import Optimizer, Params, Todo
from minibert.precision import LossScaler

if TYPE_CHECKING:
    from minibert.optim.schedule import LRScheduler

UNSETTLED = 256
"""Steps after which a look at how many were left out can wait no longer: the numbers for each case are sent along."""


def adam_update(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    *,
    step: int,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    bias_correction: bool = True,
) -> None:
    """One step of one parameter by the formulas on top of this file: changes `param`, `m` and `v` in place.

    Args:
        param, grad, m, v: arrays of one shape, dtype (float32 or float64) and library.
        step: t, which is 1 for the first step.
        decoupled: how weight decay enters; if False, as L2.
    """
    xp = backend.namespace(param)
    if weight_decay and decoupled:
        param *= 1 - lr * weight_decay
    elif weight_decay:
        grad = grad + weight_decay * param
    m *= beta1
    m += (1 - beta1) * grad
    v *= beta2
    v += (1 - beta2) * (grad * grad)
    correction1 = 1 - beta1**step if bias_correction else 1.0
    correction2 = 1 - beta2**step if bias_correction else 1.0
    param -= (lr / correction1) * (m / (xp.sqrt(v) / math.sqrt(correction2) + eps))


class _AdamFamily(Optimizer):
    """What the three have in common: the state m, v, step, the options' ranges, and clipping.

    Attributes:
        grad_norm: the global norm that the last step clipped, None if it did not look.
        loss_scaler: in mixed precision, what the loss was scaled by (see `minibert.precision`); None for no scaling.
        scheduler: the schedule for which, too, a step that was left out does not count.
    """

    decoupled = True
    bias_correction = True

    def __init__(
        self, params: Params, lr: float, betas: tuple[float, float], eps: float, weight_decay: float,
        max_grad_norm: float | None,
    ) -> None:  # fmt: skip
        if max_grad_norm is not None:
            if not is_float(max_grad_norm) or not max_grad_norm > 0:
                name = type(self).__name__
                raise ValueError(f"{name}: max_grad_norm must be above 0, or None for none, got {max_grad_norm!r}")
            max_grad_norm = float(max_grad_norm)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        self.max_grad_norm = max_grad_norm
        self.grad_norm: float | None = None
        self.loss_scaler: LossScaler | None = None
        self.scheduler: LRScheduler | None = None
        self._unsettled, self._stepped = 0, tuple[int, ...]()  # steps since `settle`, and whom they stepped

    def options_error(self, options: Mapping[str, Any]) -> str | None:
        for name in ("lr", "eps", "weight_decay"):
            value = options[name]
            if not (is_float(value) and math.isfinite(value) and value >= 0):
                return f"{name} must be a finite number, 0 or more, got {value!r}"
        betas = options["betas"]
        pair = isinstance(betas, tuple | list) and len(betas) == 2
        if not (pair and all(is_float(beta) and 0 <= beta < 1 for beta in betas)):
            return f"betas must be two numbers, each at least 0 and below 1, got {betas!r}"
        return None

    def new_state(self, param: Array) -> dict[str, Any]:
        xp = backend.namespace(param)
        m, v = (xp.zeros(param.shape, dtype=param.dtype, device=param.device) for _ in range(2))
        return {"step": 0, "m": m, "v": v}

    def new_states(self, params: list[Array]) -> list[dict[str, Any]]:
        kinds = {(backend.namespace(p), p.dtype, str(p.device)) for p in params}  # CuPy's have no hash
        if len(kinds) != 1 or not _computes(self, "new_state"):
            return [self.new_state(p) for p in params]
        xp = backend.namespace(params[0])
        ends = list(accumulate(math.prod(p.shape) for p in params))
        flat = xp.zeros((2, ends[-1]), dtype=params[0].dtype, device=params[0].device)
        pieces = zip(params, [0, *ends], ends, strict=False)
        views = [[xp.reshape(flat[k, a:b], p.shape, copy=False) for k in (0, 1)] for p, a, b in pieces]
        return [{"step": 0, "m": m, "v": v} for m, v in views]

    def gradient_factor(self, grads: list[Array]) -> float:
        if self.max_grad_norm is None and self.loss_scaler is None:
            self.grad_norm = None
            return 1.0
        kernel = backend.kernel_module("adam", grads)
        if kernel is not None and hasattr(kernel, "norm_and_factor"):  # on a GPU, where both stay: nobody waits
            scale, largest = self.loss_scaler and self.loss_scaler.inverse, self.max_grad_norm or math.inf
            self.grad_norm, on_device = kernel.norm_and_factor(grads, largest, scale)
            if self.loss_scaler is not None:
                self.loss_scaler.update(self.grad_norm)
            return on_device  # type: ignore[no-any-return]
        if self.max_grad_norm is None:
            raise ValueError(f"{self.name}: loss_scaler is for float32 parameters on a GPU")
        self.grad_norm, factor = norm_and_factor(grads, self.max_grad_norm)
        return factor

    def step(self) -> None:
        if self.loss_scaler is not None:
            stepped = tuple(i for i, (p, _) in enumerate(self._pairs()) if p.grad is not None)
            if self._unsettled == UNSETTLED or stepped != self._stepped:
                self.settle()
            self._stepped = stepped
        super().step()

    def settle(self) -> int:
        """Learn how many steps the loss scaler has left out since the last time, and take them out of the counts.

        Waits for the GPU. Until then `state` and the schedule count them, though no update does. Called by whoever
        looks at losses now and then; `state_dict` does it, too.
        """
        if self.loss_scaler is None or not self._unsettled:
            return 0
        skipped, self._unsettled = self.loss_scaler.settle(), 0
        for i in self._stepped:
            self.state[i]["step"] -= skipped
        if self.scheduler is not None:
            self.scheduler.rewind(skipped)
        return skipped

    def state_dict(self) -> dict[str, Any]:
        self.settle()
        return super().state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._unsettled = 0

    def update_all(self, todo: list[Todo], factor: float) -> None:
        kernel = backend.kernel_module("adam", [array for p, g, _, _ in todo for array in (p, g)])
        written = [array for p, _, state, _ in todo for array in (p, state["m"], state["v"])]
        if not _computes(self, "update"):  # a formula of the subclass's own, which no kernel knows
            if self.loss_scaler is not None:
                raise ValueError(f"{self.name}: loss scaling is a part of the kernel of Adam, not of another update")
            kernel = None
        if kernel is None or not all(x.flags.c_contiguous and getattr(x.flags, "aligned", True) for x in written):
            super().update_all(todo, factor)
            return
        skipped = None if self.loss_scaler is None else self.loss_scaler.skipped
        updates, known = [], dict[tuple[int, int], Any]()
        for p, g, state, options in todo:
            state["step"] += 1
            l2 = not self.decoupled and options["weight_decay"] > 0
            key = id(options), state["step"]  # hundreds of parameters, and few groups
            if key not in known:
                cases = [(factor, *case) for case in self._cases(state["step"], options, l2)]
                known[key] = cases[0] if skipped is None else cases
            updates.append((p, g, state["m"], state["v"], known[key], l2))
        if skipped is None:
            kernel.adam_step(updates)
            return
        kernel.adam_step(updates, skipped)
        self._unsettled += 1

    def _cases(self, t: int, options: Mapping[str, Any], l2: bool) -> Iterator[tuple[float, ...]]:
        """The numbers of the t-th step; and with loss scaling, those for each number of steps that may be left out."""
        yield self._numbers(t, options, l2)
        for k in range(1, self._unsettled + 1):
            lr = options["lr"] if self.scheduler is None else self.scheduler.earlier(options, k)
            yield self._numbers(t - k, {**options, "lr": lr}, l2)

    def _numbers(self, t: int, options: Mapping[str, Any], l2: bool) -> tuple[float, ...]:
        """The numbers of `adam_update` at step t, in the kernel's order."""
        lr, (beta1, beta2), decay = options["lr"], options["betas"], options["weight_decay"]
        correction1, correction2 = (1 - beta1**t, 1 - beta2**t) if self.bias_correction else (1.0, 1.0)
        decay = decay if l2 else 1 - lr * decay
        return decay, beta1, 1 - beta1, beta2, 1 - beta2, math.sqrt(correction2), options["eps"], lr / correction1

    def update(self, param: Array, grad: Array, state: dict[str, Any], options: Mapping[str, Any]) -> None:
        state["step"] += 1
        beta1, beta2 = options["betas"]
        adam_update(
            param, grad, state["m"], state["v"],
            step=state["step"], lr=options["lr"], beta1=beta1, beta2=beta2, eps=options["eps"],
            weight_decay=options["weight_decay"], decoupled=self.decoupled, bias_correction=self.bias_correction,
        )  # fmt: skip


_WRITTEN = {name: getattr(_AdamFamily, name).__code__ for name in ("new_state", "update")}
_ADAM_UPDATE = adam_update.__code__


def _computes(optimizer: _AdamFamily, method: str) -> bool:
    """Whether a method is this file's, neither overridden nor replaced: only then may a kernel stand for it."""
    code = getattr(getattr(optimizer, method), "__code__", None)
    return code is _WRITTEN[method] and getattr(adam_update, "__code__", None) is _ADAM_UPDATE


class Adam(_AdamFamily):
    """The classic: weight decay, if any, is L2, a part of the gradient. Formulas and defaults of torch.optim.Adam.

    Args:
        params: parameters or groups; see `Optimizer`, also for the errors.
        max_grad_norm: if given, `step` clips as `BertAdam` does: the same as `clip_grad_norm` before it, and faster.
    """

    decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, max_grad_norm)


class AdamW(_AdamFamily):
    """Adam with decoupled weight decay. Formulas and defaults of torch.optim.AdamW.

    Args:
        params: parameters or groups; see `Optimizer`, also for the errors. `decay_groups(model)` keeps biases and
            LayerNorms from decaying.
        max_grad_norm: if given, `step` clips as `BertAdam` does: the same as `clip_grad_norm` before it, and faster.
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        max_grad_norm: float | None = None,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, max_grad_norm)


class BertAdam(_AdamFamily):
    """The optimiser of Google's BERT: no bias correction, eps 1e-6, decoupled decay 0.01, clipping at global norm 1.0.

    Args:
        params: parameters or groups; see `Optimizer`, also for the errors. `decay_groups(model)` keeps biases and
            LayerNorms from decaying, as Google did.
        max_grad_norm: `step` uses all groups' gradients, as one vector, scaled down to this norm as `clip_grad_norm`
            would (`.grad` itself stays as it is, which saves writing it); None for no clipping. With an infinity or NaN
            among them it raises ValueError and steps nothing.
    """

    bias_correction = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        max_grad_norm: float | None = 1.0,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, max_grad_norm)
