"""Is a gradient that looks wrong really wrong, and which layer is at fault? Layer by layer, from the loss back.

What complex steps say against a layer may be the layer's way of computing: it may lose imaginary parts, or stand on a
kink. So a gradient is wrong only if difference quotients deny it as well, wherever it is tried.
"""

import contextlib
import copy
import os
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from minnet.lab.check import check_class
from minnet.lab.mistakes import MISTAKES
from minnet.lab.trace import independent, numbers_kept
from minnet.network import Network
from minnet.output import mean_loss
from minnet.support.fit import shapes_of
from minnet.support.stack import Array

NUDGE = 1e-3  # moves parameters off a kink, where there is no gradient
TRIES = 3
STEPS = (1e-2, 1e-3, 1e-4)  # of difference quotients: how far they disagree tells how far to believe them
DENIED = 1e-5  # relative to the gradient; layers that add 1e-8 to what they take the logarithm of are no mistake
BESIDE = 1e-9  # of the largest slope so far: so little is not compared
AGREE = 1e-3  # a complex step that is as near to a difference quotient is believed
SINGLE = 1.2e-7  # of the loss: as much is lost by a layer that computes in single precision

INPUT = ""  # the gradient at a layer's input, which backward returns
Quantity = tuple[int, str]  # a layer's place, and which gradient


def judge(network: Network, x: Array, t: Array, sample_weight: Any = None) -> dict[str, Any] | None:
    """Say which layer's gradient is wrong; or that none is, if that can be said.

    Returns
    -------
    dict or None
        As `minnet.lab.proof.prove` returns it, by difference quotients; None if nothing can be compared.

    Raises
    ------
    ValueError
        If a gradient is wrong, or a layer's W or dW is not the network's.
    """
    tries: list[Attempt] = []
    try:
        for seed in range(TRIES):
            tries.append(Attempt(network, x, t, sample_weight, seed))
            tries[-1].compare()
            if not tries[-1].denied:
                break
    except Unclear:
        return None
    except Exception:  # a learner's code may raise anything; what matters training will meet, too
        if tries:
            tries[-1].double.check_views()
        return None
    times = Counter(quantity for each in tries for quantity in each.denied)
    if TRIES in times.values():
        mostly = [quantity for quantity, denied in times.items() if denied > TRIES / 2]
        place, name = min(mostly, key=lambda quantity: (-quantity[0], quantity[1] == INPUT))  # the nearest to the loss
        said, true = next(each.denied[place, name] for each in tries if (place, name) in each.denied)
        raise ValueError(accusation(network, place, name, said, true))
    tried = {"directions": 1, "samples": x.shape[-2], "seed": len(tries) - 1}
    return {"error": tries[-1].error, **tried, "by": "difference quotients"}


class Unclear(Exception):
    """Nothing can be compared: the loss is another one each time, or is as good as it gets."""


class Attempt:
    """A step in double precision, whose every gradient is held against the slope of the loss.

    Attributes
    ----------
    double : Network
        A copy whose weights were moved off any kink.
    denied : dict of Quantity to tuple of two floats
        The gradients that slopes deny, from the loss back: what the layer says along a direction, and what is true.
    error : float
        The largest error of those that were not denied.
    """

    def __init__(self, network: Network, x: Array, t: Array, sample_weight: Any, seed: int) -> None:
        self.rng = np.random.default_rng([1, seed])
        self.theta = network.theta + self.rng.uniform(-NUDGE, NUDGE, network.theta.shape)
        self.double = independent(network, self.theta.copy())
        self.output = copy.deepcopy(self.double.output)
        self.network, self.batch = network, (x, t, sample_weight)
        self.lead = network.theta.ndim - 1
        self.denied: dict[Quantity, tuple[float, float]] = {}
        self.error = self.largest = 0.0

    def compare(self) -> None:
        """Go through two batches, forward and backward, and compare the gradients of the second, from the loss back."""
        N = self.batch[0].shape[-2]
        self.double.forward(*last_samples(N, *self.batch))
        self.double.backward()
        self.double.check_views()
        x, self.t, _, self.w = last_samples(max(N - 1, 2), *self.batch)
        self.inputs, self.alone, values = [x], [], []
        layers = self.double.layers
        for layer in layers:
            self.alone.append(without_parameters(layer))
            values.append({name: np.copy(getattr(layer, name)) for name in shapes_of(layer)})
            with numbers_kept():  # so that whatever is drawn is the same each time
                self.inputs.append(np.copy(layer.forward(self.inputs[-1].copy())))
        self.values = values
        beside = [
            {name: value + self.rng.uniform(-1e-4, 1e-4, value.shape) for name, value in of.items()} for of in values
        ]
        self.beside = self.through(0, x, beside)
        self.here = mean_loss(self.double.output, self.inputs[-1].copy(), self.t, self.w)
        if not (np.isfinite(self.here).all() and np.array_equal(self.here, self.loss(0, x))):
            raise Unclear
        last, first = len(layers), next(place for place, layer in enumerate(layers) if shapes_of(layer))
        gradient = self.double.output.backward()
        self.hold((last, INPUT), gradient, self.inputs[-1])
        if not self.clear.any():
            raise Unclear
        for place in reversed(range(first, last)):
            layer = layers[place]
            gradient = layer.backward(gradient)
            self.double.check_views()
            for name, value in values[place].items():
                moved = not name.startswith("running_") and not np.array_equal(getattr(layer, name), value)
                if moved:
                    self.denied[place, name] = (0.0, 0.0)
                self.hold((place, "d" + name), getattr(layer, "d" + name), value)
            if place > first:
                self.hold((place, INPUT), gradient, self.inputs[place])
        if self.denied and not self.steady():
            raise Unclear

    def steady(self) -> bool:
        """Tell whether the gradient is more than rounding: samples that are all the same, normalised, are not."""
        gradients = []
        for factor in (1, 1 + 1e-12):
            double = independent(self.network, self.theta * factor)
            with numbers_kept():
                double.forward(*last_samples(self.t.shape[-2], *self.batch))
            double.backward()
            gradients.append(double.dtheta)
        here, beside = gradients
        return bool(np.linalg.norm(here - beside) <= 1e-3 * np.linalg.norm(here))

    def loss(self, place: int, x: Array, **values: Array) -> Any:
        """Compute the loss from a layer's input on, with that layer's parameters replaced."""
        replaced = [of | values if k == place else of for k, of in enumerate(self.values)]
        return mean_loss(copy.deepcopy(self.output), self.through(place, x, replaced)[-1], self.t, self.w)

    def through(self, place: int, x: Array, values: Sequence[dict[str, Array]]) -> list[Any]:
        """Compute the inputs of a layer and of all after it, and the logits, with these parameters."""
        inputs = [x]
        for layer, own in zip(copy.deepcopy(self.alone[place:]), values[place:], strict=True):
            for name, value in own.items():
                setattr(layer, name, value.copy())
            with numbers_kept():
                inputs.append(layer.forward(inputs[-1].copy()))
        return inputs

    def hold(self, quantity: Quantity, gradient: Any, value: Array) -> None:
        """Hold a gradient against slopes along a random direction, and along itself, where a wrong factor must show.

        Along itself by complex steps only: where the loss bends most, difference quotients say little.
        """
        ways, norm = [self.rng.uniform(-1, 1, value.shape)], np.linalg.norm(gradient)
        if quantity[1] == INPUT:  # a way that the layers before can move it: what they keep at 0 may be on a kink
            ways = [np.asarray(self.beside[quantity[0]] - value, np.float64)]
        elif 0 < norm < np.inf:
            ways.append(np.broadcast_to(gradient, value.shape))
        for k, v in enumerate(ways):
            self.hold_along(v / (np.linalg.norm(v) or 1), quantity, gradient, value, by_complex_steps=k > 0)

    def hold_along(
        self, v: Array, quantity: Quantity, gradient: Any, value: Array, by_complex_steps: bool = False
    ) -> None:
        """Hold a gradient, along a direction of length 1, against complex steps and difference quotients."""
        place, name = quantity

        def at(step: complex) -> Any:
            moved = value + step * v
            if name == INPUT:
                return self.loss(place, moved)
            return self.loss(place, self.inputs[place], **{name[1:]: moved})

        product = np.broadcast_to(gradient, value.shape) * v
        axes = tuple(range(self.lead, product.ndim))
        said, length = product.sum(axis=axes), np.sqrt((product * product).sum(axis=axes))
        slopes = np.array([(at(h) - at(-h)) / (2 * h) for h in STEPS])
        complex_slope = np.full_like(said, np.nan)
        with contextlib.suppress(Exception):  # it may take no complex numbers
            complex_slope = at(1e-30j).imag * 1e30
        believed = np.abs(complex_slope - slopes).min(axis=0) < AGREE * np.abs(complex_slope)
        doubt = np.ptp(slopes[1:], axis=0) + np.where(believed, 0, SINGLE * np.abs(self.here) / STEPS[0])
        size = np.maximum(np.abs(slopes).max(axis=0), length)
        self.largest = max(self.largest, float(size.max()))
        errors = (np.abs(said - slopes).min(axis=0) - doubt) / size
        errors = np.fmin(errors, np.where(complex_slope == 0, np.inf, np.abs(said - complex_slope) / size))  # 0 if lost
        if place == len(self.alone):  # dz is y − t, of which few digits are left where the two are alike
            self.clear = size * value.shape[-2] > 10 * np.finfo(value.dtype).eps / DENIED
        errors = np.where((size > BESIDE * self.largest) & self.clear, errors, 0)
        stairs = slopes[-1] == 0  # of a layer that rounds, whatever gradient it is given on purpose
        errors = np.where(stairs | ~(believed | (not by_complex_steps)), 0, errors)
        wrong = errors > DENIED
        if wrong.any():
            worst = np.unravel_index(np.argmax(errors), np.shape(errors))
            self.denied.setdefault(quantity, (float(said[worst]), float(slopes[-1][worst])))
        else:
            self.error = max(self.error, float(np.max(errors, initial=0)))


def without_parameters(layer: Any) -> Any:
    """Copy a layer with all that it holds, as it is before its forward, but for its parameters."""
    light = copy.copy(layer)
    for name in shapes_of(layer):
        delattr(light, name)
        delattr(light, "d" + name)
    return copy.deepcopy(light)


def accusation(network: Network, place: int, asked: str, said: float, true: float) -> str:
    """Say what is wrong, how it is written, and how to find out more."""
    of_output = place == len(network.layers)
    part: Any = network.output if of_output else network.layers[place]
    who = f"the output layer, {type(part).__name__}" if of_output else f"layer {place}, {type(part).__name__}"
    quantity = asked or ("dz" if of_output else "dx")
    if not quantity.startswith("d"):
        what, write = (
            f"backward changes {quantity}",
            f"write self.d{quantity}[...] = … and leave the step to the optimizer",
        )
    else:
        what = f"{quantity} is wrong: along a random direction {said:.4g}, where the loss has the slope {true:.4g}"
        right = f"return {quantity}" if asked == INPUT else f"self.{quantity}[...] = ∂C/∂{quantity[1:]}"
        write = f"its backward should say {right}"
    told = f"{who}: {what}; {write}{named(type(part))}; see: {next_step(type(part))}"
    return f"{told}; nothing was trained (prove=False trains all the same)"


def named(cls: type[Any]) -> str:
    """Name the mistake, if it is a classic one."""
    try:
        found = [finding.name for finding in check_class(cls).findings if MISTAKES[finding.name].equation]
    except Exception:  # it is not made with (D, H), say
        return ""
    return f"; it looks like {found[0]}: {MISTAKES[found[0]].meaning}" if found else ""


def next_step(cls: type[Any]) -> str:
    """Give the command that checks a class by itself, if its file has it."""
    module = sys.modules.get(cls.__module__)
    file = getattr(module, "__file__", None)
    if file and getattr(module, cls.__qualname__, None) is cls:
        path = os.path.relpath(file)
        return f"minnet check {file if path.startswith('..') else path}:{cls.__name__}"
    return f"print(minnet.lab.check.check_class({cls.__name__}))"


def last_samples(N: int, x: Any, t: Any, sample_weight: Any) -> tuple[Any, Any, bool, Any]:
    """Give the last N samples in double precision, as `Network.forward` takes them without a check."""
    x, t = (np.asarray(array[..., -N:, :], np.float64) for array in (x, t))
    w = None if sample_weight is None else np.asarray(sample_weight[..., -N:], np.float64)
    return x, t / t.sum(axis=-1, keepdims=True), False, w
