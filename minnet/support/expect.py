"""Is an argument what was expected? Each check is here once, and gives the value back as it is used.

All messages have one form: what was checked, what was expected of it, what came instead, and what to do about it.
"""

import contextlib
import math
import operator
from collections.abc import Collection, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from minnet.support.stack import Array

BOUNDS = {
    "least": ("of at least", operator.ge),
    "above": ("above", operator.gt),
    "most": ("at most", operator.le),
    "below": ("below", operator.lt),
}
SHARE = {"least": 0, "below": 1}
HYPERPARAMETERS = {
    "lr": {"above": 0},
    "momentum": SHARE,
    "beta1": SHARE,
    "beta2": SHARE,
    "epsilon": {"above": 0},
    "weight_decay": {"least": 0},
}


def integer(what: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """Return an integer within bounds, or raise ValueError."""
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    if is_integer and least <= value and (most is None or value <= most):
        return int(value)
    bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
    raise ValueError(f"{what}: expected an integer {bounds}, got {value!r:.80}")


def number(what: str, value: Any, **bounds: float) -> float:
    """Return a finite number as a float, or raise ValueError unless it is within bounds, named as in `BOUNDS`."""
    with contextlib.suppress(OverflowError):  # of an integer that no float can hold
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if is_number and math.isfinite(value) and all(BOUNDS[name][1](value, bounds[name]) for name in bounds):
            return float(value)
    rule = " and ".join(f"{BOUNDS[name][0]} {bound:g}" for name, bound in bounds.items())
    raise ValueError(f"{what}: expected a finite number {rule}, got {value!r:.80}")


def hyperparameters(optimizer: object) -> None:
    """Check those of the hyperparameters in `HYPERPARAMETERS` that an optimizer has, by name.

    They become floats, or arrays (S,) of a number for each network of a stack.
    """
    for name, bounds in HYPERPARAMETERS.items():
        if hasattr(optimizer, name):
            what, value = f"{type(optimizer).__name__} {name}", getattr(optimizer, name)
            several = np.ndim(value) > 0
            checked = [number(what, each, **bounds) for each in (value if several else [value])]
            setattr(optimizer, name, np.array(checked) if several else checked[0])


def one_of(what: str, value: object, choices: Collection[str]) -> str:
    """Return one of several words, or raise ValueError."""
    if value not in choices:
        raise ValueError(f"{what}: expected one of {', '.join(choices)}, got {value!r:.80}")
    return str(value)


def seed(what: str, value: Any) -> int | tuple[int, ...]:
    """Return one seed as an int, several as a tuple, or raise ValueError."""
    if np.ndim(value) == 0:
        return integer(what, value, 0)
    seeds = tuple(integer(what, each, 0) for each in value)
    if not seeds:
        raise ValueError(f"{what}: expected at least one seed for a stack, got none")
    return seeds


def all_hold(rule: str, holds: Array, values: Array) -> None:
    """Raise ValueError unless a rule holds of all values, or all rows of them; name the first that breaks it."""
    if not holds.all():
        first = np.argwhere(~holds)[0]
        raise ValueError(f"{rule}, got {values[tuple(first)]!s:.80} at index {', '.join(map(str, first))}")


def unmasked(what: str, values: npt.ArrayLike) -> Array:
    """Return an array, or raise TypeError if it is a masked one, of whose mask nothing here knows."""
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(f"{what} expected a plain array, got a masked one: fill in or leave out what is missing")
    return np.asarray(values)


def features(what: str, x: npt.ArrayLike, D: int | None = None, dtype: Any = None) -> Array:
    """Return samples as an array of shape (N, D), N of at least 1, or raise TypeError or ValueError.

    Parameters
    ----------
    what : str
        Who expected them, for the message.
    x : array of shape (N, D)
        Floating-point numbers, all finite.
    D : int, optional
        The number of features; any by default.
    dtype : dtype, optional
        To which they are converted, and within whose range they must lie; their own by default.
    """
    x = unmasked(what, x)
    if not np.issubdtype(x.dtype, np.floating):
        raise TypeError(f"{what} expected x to hold floating-point numbers, got {x.dtype}; use x.astype(np.float64)")
    if x.ndim != 2 or 0 in x.shape or D not in (None, x.shape[1]):
        expected = f"x of shape (N, {D or 'D'}), N at least 1 (for one sample x[np.newaxis])"
        raise ValueError(f"{what} expected {expected}, got {x.shape}")
    with np.errstate(over="ignore"):
        converted = x.astype(dtype or x.dtype, copy=False)
    all_hold(f"{what} expected x of finite numbers in the range of {converted.dtype}", np.isfinite(converted), x)
    return converted


def finite_rows(what: str, y: Array) -> Array:
    """Return an array of shape (N, K), or raise FloatingPointError that names the first row that is not finite."""
    finite = np.isfinite(y).all(axis=1)
    if not finite.all():
        row = int(finite.argmin()) + 1
        raise FloatingPointError(f"{what} to row {row} is not finite: are its features too large?")
    return y


def targets(t: npt.ArrayLike, K: int, dtype: npt.DTypeLike = np.float64, N: int | None = None) -> Array:
    """Check targets and bring them to the one form that the equations use: rows that sum to 1.

    Parameters
    ----------
    t : array of shape (N,) or (N, K)
        Class numbers 0 … K−1 as integers, or one row of K probabilities a sample (one-hot or soft).
    K : int
        Number of classes.
    dtype : dtype, default float64
        The dtype of the rows returned.
    N : int, optional
        Of how many samples they are; any number by default.

    Returns
    -------
    array of shape (N, K)

    Raises
    ------
    TypeError
        If ``t`` holds something that is neither: floats as class numbers, booleans, strings, objects.
    ValueError
        If a class number is out of range, a row does not sum to 1 (within 1e-5) or has negative or non-finite
        entries, the shape is neither (N,) nor (N, K), or there are not as many as samples.
    """
    t = unmasked("targets:", t)
    if t.ndim != 1 and t.shape[1:] != (K,):
        raise ValueError(f"expected targets of shape (N,) or (N, {K}), got {t.shape}")
    if N not in (None, len(t)):
        raise ValueError(f"expected as many targets as samples, got {len(t)} targets for {N} samples")
    if t.dtype.kind not in ("iu" if t.ndim == 1 else "iuf"):
        remedy = "for labels of any kind use: class_names, t = np.unique(labels, return_inverse=True)"
        raise TypeError(f"class numbers must be integers, and probabilities numbers, got {t.dtype}; {remedy}")
    if t.ndim == 1:
        all_hold(f"class numbers must lie in 0 … {K - 1}", (t >= 0) & (t < K), t)
        return np.asarray(t[:, np.newaxis] == np.arange(K), dtype)
    with np.errstate(all="ignore"):  # sums of what is not finite are refused
        sums = t.sum(axis=1, dtype=np.float64)
    rule = "each row of targets must be at least 0 and must sum to 1 (only then is the gradient y − t)"
    all_hold(rule, (t >= 0).all(axis=1) & (np.abs(sums - 1) <= 1e-5), t)
    return np.asarray(t / sums[:, np.newaxis], dtype)


def weights(what: str, values: npt.ArrayLike, N: int | None = None) -> Array:
    """Return how much each sample (of N) or each class counts, as float64 of shape (N,), or raise ValueError."""
    array = unmasked(f"{what}:", values)
    if array.dtype.kind not in "biuf" or array.ndim != 1 or N not in (None, array.size):
        raise ValueError(f"{what}: expected numbers of shape ({N or 'N'},), got {array.shape} of {array.dtype}")
    array = array.astype(np.float64)
    all_hold(f"{what}: expected finite numbers of at least 0", (array >= 0) & (array < np.inf), array)
    if not array.any():
        raise ValueError(f"{what}: expected one above 0, got none, so that nothing would count")
    return array


def relative(what: str, values: npt.ArrayLike, N: int, dtype: npt.DTypeLike) -> Array:
    """Return such weights with a largest of 1, which changes no weighted mean and fits into any dtype."""
    array = weights(what, values, N)
    return np.asarray(array / array.max(), dtype)


def state(optimizer: Any, name: str, theta: Array) -> Array:
    """Return an array of an optimizer's state, zeros like theta at first, or raise ValueError if it is another's."""
    if name not in optimizer.state:
        optimizer.state[name] = np.zeros_like(theta)
    array: Array = optimizer.state[name]
    if (array.shape, array.dtype) != (theta.shape, theta.dtype):
        raise ValueError("this optimizer is another network's: each network needs an optimizer of its own")
    return array


def seeds_for(network: Any, given: object) -> Sequence[int]:
    """Return a seed for each network, those given or its own; raise ValueError unless there is one for each."""
    seeds = seed("train seed", network.seed if given is None else given)
    if np.shape(seeds) != network.theta.shape[:-1]:
        raise ValueError(f"train seed: expected one seed for each network, as in {network.seed}, got {seeds}")
    return [seeds] if isinstance(seeds, int) else seeds
