"""Is ``dtheta`` really the gradient of the loss? Hold it against a complex step, which is exact to rounding.

For an analytic function of real coefficients, f(θ + ih) = f(θ) + ih f'(θ) + O(h²): the imaginary part, divided by h,
is the derivative, without the subtraction that spoils a difference quotient, so that h can be tiny (Squire and Trapp
1998). With ``theta`` stacked, row k with h on entry k, one forward pass gives every derivative.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minnet.network import Network
from minnet.output import target_rows

Array = npt.NDArray[Any]

SLICE_BYTES = 64 * 2**20  # of stacked parameters at a time


class GradientCheck(NamedTuple):
    """The largest disagreement between ``dtheta`` and the complex step, and where it is.

    Attributes
    ----------
    error : float
        |analytic − numeric| there, divided by the largest absolute numeric gradient of the network.
    layer : int
        The layer's place in ``network.layers``.
    parameter : str
        The parameter's name in that layer, such as "W".
    entry : tuple of int
        The entry's place in the parameter.
    analytic, numeric : float
        The two gradients of that entry.
    """

    error: float
    layer: int
    parameter: str
    entry: tuple[int, ...]
    analytic: float
    numeric: float


def numeric_gradient(network: Network, x: Array, t: Array, h: float = 1e-30, weights: Array | None = None) -> Array:
    """∂C/∂θ_k = imag C(θ + ih e_k) / h for every k, in double precision whatever the network's dtype (eq. 15).

    Parameters
    ----------
    x : array of shape (N, D)
        Samples.
    t : array of shape (N,) or (N, K)
        Targets.
    h : float, default 1e-30
        The length of the imaginary step.
    weights : array of shape (N,), optional
        How much each sample counts.

    Returns
    -------
    array of the shape of theta, float64
    """
    if network.theta.ndim == 2:
        members = [network[s] for s in range(len(network.theta))]
        return np.stack([numeric_gradient(member, x, t, h, weights) for member in members])
    theta = network.theta.astype(np.complex128)
    x, t = np.asarray(x, dtype=np.float64), target_rows(t, network.K)
    largest = max([network.D, *(shape[-1] for layer in network.layers for shape in layer.shapes.values())])
    bytes_a_row = 16 * max(theta.size, len(x) * largest)
    rows = max(1, SLICE_BYTES // bytes_a_row)
    gradient = np.empty(theta.size)
    for start in range(0, theta.size, rows):
        stop = min(start + rows, theta.size)
        stack = np.repeat(theta[np.newaxis], stop - start, axis=0)
        stack[np.arange(stop - start), np.arange(start, stop)] += 1j * h
        gradient[start:stop] = network.at(stack).forward(x, t, False, weights).imag / h
    return gradient


def check_gradients(network: Network, x: Array, t: Array, weights: Array | None = None) -> GradientCheck:
    """Compare the network's backward pass with the complex step, over every entry of theta.

    Parameters
    ----------
    network : Network
        Or a stack of them, each of which is held against its own complex steps. It is not changed; the check runs on
        a copy in double precision, in which dropout drops the same units each time.
    x : array of shape (N, D)
        Samples; a few are enough.
    t : array of shape (N,) or (N, K)
        Targets.
    weights : array of shape (N,), optional
        How much each sample counts.

    Returns
    -------
    GradientCheck
        An ``error`` of at most 1e-12 means that every gradient is right; a wrong backward gives more than 1e-6.

    Raises
    ------
    ValueError
        If every gradient is 0 to rounding, so that nothing would be compared.
    """
    double = network.at(network.theta.astype(np.float64))
    double.forward(x, t, weights=weights)
    double.backward()
    analytic, numeric = double.dtheta.ravel(), numeric_gradient(network, x, t, weights=weights).ravel()
    scale = np.abs(numeric).max()
    if not scale > 1e-14:
        raise ValueError(
            "checked nothing: every gradient is 0 to rounding, or NaN; choose other samples or other weights"
        )
    errors = np.abs(analytic - numeric) / scale
    worst = int(np.where(np.isnan(errors), np.inf, errors).argmax())
    layer, parameter, entry = locate(network, worst % network.theta.shape[-1])
    return GradientCheck(float(errors[worst]), layer, parameter, entry, float(analytic[worst]), float(numeric[worst]))


def locate(network: Network, k: int) -> tuple[int, str, tuple[int, ...]]:
    """Say which layer, parameter and entry ``theta[k]`` is."""
    for place, layer in enumerate(network.layers):
        for name, shape in layer.shapes.items():
            if k < math.prod(shape):
                return place, name, tuple(int(i) for i in np.unravel_index(k, shape))
            k -= math.prod(shape)
    raise IndexError("theta has no such entry")
