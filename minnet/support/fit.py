"""Do these layers make a network? Whoever wrote them: their members, their widths, what to call them."""

import contextlib
import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minnet.support import expect
from minnet.support.scores import MONITORS
from minnet.support.text import table


def shapes_of(layer: object) -> Any:
    """Return the shapes of a layer's parameters, by name; a layer need not have any."""
    return getattr(layer, "shapes", {})


class Slot(NamedTuple):
    """Where a parameter of a layer lives in theta."""

    place: int
    layer: Any
    name: str
    shape: tuple[int, ...]
    entries: slice


def slots(layers: Sequence[object]) -> Iterator[Slot]:
    """Give each parameter of layers in a row its slot in theta, in the layers' order."""
    start = 0
    for place, layer in enumerate(layers):
        for name, shape in shapes_of(layer).items():
            stop = start + math.prod(shape)
            yield Slot(place, layer, name, shape, slice(start, stop))
            start = stop


def check_views(network: Any, views: Sequence[tuple[Slot, str, Any]]) -> None:
    """Raise ValueError if a layer's parameter or gradient is another array than the view that it was given."""
    for slot, name, view in views:
        whole = name.removesuffix(slot.name) + "theta"
        if not np.may_share_memory(view, getattr(network, whole)):
            replaced = f"network.{whole} is another array now, unknown to the layers"
            raise ValueError(f"{replaced}; write network.{whole}[...] = … instead, or make a new Network")
        if getattr(slot.layer, name) is not view:
            whose = f"layer {slot.place}, {described(slot.layer)}: {name} is another array now, unknown to the network"
            entries = f"{name}[...] = …"
            raise ValueError(f"{whose}; write self.{entries} or network.layers[{slot.place}].{entries} instead")


def summary(layers: Sequence[object], output: object, theta: Any) -> str:
    """Describe a network as a table: a line a layer with its parameters' shapes and their number."""
    rows = [("layer", "parameters", "number")]
    for part in (*layers, output):
        shapes = shapes_of(part)
        listed = ", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in shapes.items())
        rows.append((described(part), listed, f"{sum(map(math.prod, shapes.values())):,}"))
    rows.append(("total", f"{theta.dtype}", f"{theta.shape[-1]:,}"))
    header, *lines, total = table(rows, "<<>")
    rule = "─" * len(header)
    return "\n".join([header, rule, *lines, rule, total])


def described(part: object) -> str:
    """Name a layer: by its repr, unless that would show an address in memory."""
    return type(part).__name__ if type(part).__repr__ is object.__repr__ else repr(part)


def check_part(what: str, part: object, example: str, *members: str) -> None:
    """Raise TypeError unless a part of a training is an object with these members."""
    if isinstance(part, type) or not all(hasattr(part, name) for name in members):
        raise TypeError(f"{what}: expected one such as {example}, with {' and '.join(members)}, got {part!r}")


def check_layers(layers: Sequence[Any]) -> list[Any]:
    """Return layers as a list; raise TypeError or ValueError if one is none, or is in use, or if nothing can learn."""
    for layer in layers:
        check_part("Network layers", layer, "ReLU()", "forward", "backward")
        check_names(layer)
        bound = any(isinstance(getattr(layer, "d" + name, None), np.ndarray) for name in shapes_of(layer))
        if bound or sum(other is layer for other in layers) > 1:
            raise ValueError(f"{layer!r} has a place in a network already, whose parameters it holds: make a new layer")
    if not any(map(shapes_of, layers)):
        raise ValueError("Network layers: expected one with parameters, such as Linear: there is nothing to train")
    return list(layers)


def check_names(layer: object) -> None:
    """Raise ValueError if a layer cannot hold its parameters and their gradients by the names that it gives them."""
    shapes = shapes_of(layer)
    for name in shapes:
        if not (isinstance(name, str) and name.isidentifier()) or "d" + name in shapes:
            wanted = "names of parameters such as W, whose gradient is dW, and no dW beside it"
            raise ValueError(
                f"{type(layer).__name__} shapes: expected {wanted}, got {', '.join(map(repr, shapes)):.80}"
            )


def widths(layers: Sequence[Any], dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the numbers of inputs and of outputs of layers in a row, by what they say and by a trial of one sample.

    Raises
    ------
    ValueError
        If two neighbours do not fit.
    """
    first = next(layer for layer in layers if shapes_of(layer))
    sides = {side for layer in layers for shape in shapes_of(layer).values() for side in shape}
    problems = {}
    for D in [first.D] if hasattr(first, "D") else sorted(sides, reverse=True):
        x, before = np.ones((1, D), dtype), f"there are {D} inputs, but the first,"
        try:
            for place, layer in enumerate(map(copy.copy, layers)):  # noqa: B007 - told if it fails
                if getattr(layer, "D", x.shape[-1]) != x.shape[-1]:
                    raise ValueError(f"it takes {layer.D} inputs")
                x = getattr(layer, "infer", layer.forward)(x)
                before = f"{described(layer)} gives {x.shape[-1]} outputs, but the next,"
        except Exception as error:  # a learner's layer may raise anything
            problems[place] = f"{before} {described(layer)}, cannot take them: {error}"
        else:
            return D, x.shape[-1]
    raise ValueError(problems[max(problems)])  # where the widths that were tried led farthest


def check_settings(training: Any) -> None:
    """Raise TypeError or ValueError unless a training's settings are within their ranges, and fit each other."""
    network, dataset = training.network, training.dataset
    expect.integer("train epochs", training.epochs)
    expect.integer("train batch_size", training.batch_size)
    expect.one_of("train monitor", training.monitor, MONITORS)
    if training.clip_norm is not None:
        expect.number("train clip_norm", training.clip_norm, above=0)
    check_part("train optimizer", training.optimizer, "SGD(0.1)", "step")
    if training.schedule is not None:
        check_part("train schedule", training.schedule, "CosineDecay()", "factors")
    if (dataset.D, dataset.K) != (network.D, network.K):
        has = f"data set {dataset.name!r} has {dataset.D} features and {dataset.K} classes"
        raise ValueError(f"{has}, but the network takes {network.D} and gives {network.K}")
    if training.batch_size == 1 and any(slot.name == "running_mean" for slot in slots(network.layers)):
        raise ValueError("batch normalisation learns nothing from batches of one sample: use a larger batch_size")


def gain_of(activation: Any) -> float:
    """Return the gain that an activation says, or 2/(f(1)² + f(−1)²) where f(2x) = 2 f(x), as of rectifiers; else 1."""
    if getattr(activation, "gain", None) is not None:
        return float(activation.gain)
    with contextlib.suppress(Exception):  # it is no activation, or a learner's, which may raise anything
        a = copy.copy(activation).forward(np.array([[1.0, -1.0, 2.0, -2.0]]))[0]
        if a.any() and np.array_equal(a[2:], 2 * a[:2]):
            return 2 / float(a[:2] @ a[:2])
    return 1.0


def check_batch(network: Any, x: Any, t: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
    """Check samples, targets and the samples' weights, and bring them to a network's dtype."""
    x = network.check_features(x)
    rows = expect.targets(t, network.K, network.theta.dtype, len(x))
    if sample_weight is not None:
        sample_weight = expect.relative("sample_weight", sample_weight, len(x), rows.dtype)
    return x, rows, sample_weight


def check_member(network: Any, s: object) -> None:
    """Raise TypeError unless a network is a stack, and s the number of one of its networks."""
    if network.theta.ndim == 1 or not isinstance(s, int | np.integer):
        raise TypeError(f"expected the number of one network of a stack, got {s!r} of {network!r}")


def rows_at_a_time(network: Any, N: int) -> int:
    """Return how many networks of a stack, in complex numbers and with N samples each, take 64 MiB."""
    largest = max([network.D, *(slot.shape[-1] for slot in slots(network.layers))])
    return max(1, 2**26 // int(16 * max(network.theta.shape[-1], N * largest)))


def relative_errors(analytic: Any, numeric: Any, rounding: float) -> Any:
    """|analytic − numeric|, relative to the largest numeric one; what may be rounding counts at most as 1e-13."""
    difference = np.abs(analytic - numeric)
    errors = difference / (max(np.abs(numeric).max(), rounding) or 1)
    errors = np.where(difference <= rounding, np.minimum(errors, 1e-13), errors)
    return np.where(np.isnan(errors), np.inf, errors)


def factors_of(schedule: Any, epoch: int, steps: int, epochs: int, losses: Sequence[Any]) -> Any:
    """Return a schedule's factors of the learning rate, None without one; ValueError unless there is one a step."""
    if schedule is None:
        return None
    factors = schedule.factors(epoch, steps, epochs, losses)
    if np.shape(factors)[:1] != (steps,):
        raise ValueError(f"schedule: expected factors of shape ({steps}, …), a step each, got {np.shape(factors)}")
    return factors
