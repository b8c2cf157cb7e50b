"""How does a program find derivatives by itself? Scalar reverse-mode automatic differentiation, as in docs/backprop.md.

A `Value` remembers which values it was computed from, and its local slope with respect to each of them. `gradients`
walks from an output back to all of these once, and sums over the paths. NumPy computes with arrays of such objects too,
so that the very line of a layer's forward, such as ``x @ self.W + self.b``, runs on them; no backward is needed:

>>> W = values([[1.0, -2.0], [3.0, 4.0]])
>>> slopes = gradients((np.array([[5.0, 6.0]]) @ W).sum())
>>> [slopes[value] for value in W.flat]
[5.0, 5.0, 6.0, 6.0]
"""

import math
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Union

import numpy as np

Number = Union[float, "Value"]


class Value:
    """A number that knows where it comes from.

    Parameters
    ----------
    number : float
        The number itself.
    *inputs : tuple of (Value, float)
        What it was computed from, each with the local slope: how fast the number changes with this input alone. None
        for a number that is given.

    Attributes
    ----------
    depth : int
        How many operations lie on the longest way here from a number that is given; always more than for any input.
    """

    def __init__(self, number: float, *inputs: tuple["Value", float]) -> None:
        self.number, self.inputs = float(number), inputs
        self.depth: int = max((value.depth + 1 for value, _ in inputs), default=0)

    def __repr__(self) -> str:
        return f"Value({self.number})"

    def __add__(self, other: Number) -> "Value":
        other = as_value(other)
        return Value(self.number + other.number, (self, 1), (other, 1))

    def __mul__(self, other: Number) -> "Value":
        other = as_value(other)
        return Value(self.number * other.number, (self, other.number), (other, self.number))

    def __pow__(self, exponent: float) -> "Value":
        return Value(self.number**exponent, (self, exponent * self.number ** (exponent - 1)))

    def exp(self) -> "Value":
        """e to the power of this number, which is its own slope."""
        e = math.exp(self.number)
        return Value(e, (self, e))

    def log(self) -> "Value":
        """The natural logarithm."""
        return Value(math.log(self.number), (self, 1 / self.number))

    def tanh(self) -> "Value":
        """The hyperbolic tangent (eq. 13b)."""
        a = math.tanh(self.number)
        return Value(a, (self, 1 - a * a))

    # All that follows is made of these, and needs no slope of its own.

    def sqrt(self) -> "Value":
        """The square root."""
        return self**0.5

    def __neg__(self) -> "Value":
        return self * -1

    def __sub__(self, other: Number) -> "Value":
        return self + as_value(other) * -1

    def __truediv__(self, other: Number) -> "Value":
        return self * as_value(other) ** -1

    def __rsub__(self, other: Number) -> "Value":
        return as_value(other) - self

    def __rtruediv__(self, other: Number) -> "Value":
        return as_value(other) / self

    __radd__, __rmul__ = __add__, __mul__

    # A maximum is the larger value itself, not a new one, so that a rectifier only needs values that can be compared.
    # Of two equal ones NumPy takes the first: at 0, where it has no slope, np.maximum(x, 0) gets 1, and minnet takes 0.

    def __gt__(self, other: Number) -> bool:
        return self.number > as_value(other).number

    def __ge__(self, other: Number) -> bool:
        return self.number >= as_value(other).number

    def __lt__(self, other: Number) -> bool:
        return self.number < as_value(other).number

    def __le__(self, other: Number) -> bool:
        return self.number <= as_value(other).number


values: Callable[[Any], Any] = np.frompyfunc(Value, 1, 1)  # an array of numbers becomes an array of objects


def as_value(number: Number) -> Value:
    """Return a value as it is; a constant becomes one that was computed from nothing."""
    return number if isinstance(number, Value) else Value(number)


def gradients(output: Value) -> dict[Value, float]:
    """Find the derivatives of an output with respect to everything that it was computed from, in one pass back.

    Parameters
    ----------
    output : Value
        A loss, for example.

    Returns
    -------
    dict of Value to float
        ∂output/∂v for each v: summed over all paths from v to the output, the product of the slopes along the path.
        It gives 0 for a value that no path leads from.
    """
    found = defaultdict(float, {output: 1.0})
    for value in from_the_end(output):  # by now its own sum is complete
        for each, slope in value.inputs:
            found[each] += found[value] * slope
    return found


def from_the_end(output: Value) -> list[Value]:
    """List an output and everything that it was computed from, each value before its inputs."""
    seen: dict[Value, None] = {}
    pending = [output]
    while pending:
        value = pending.pop()
        if value not in seen:
            seen[value] = None
            pending.extend(each for each, _ in value.inputs)
    return sorted(seen, key=lambda value: value.depth, reverse=True)
