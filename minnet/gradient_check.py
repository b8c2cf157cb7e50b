"""Is ``dtheta`` really the gradient of the loss? Hold it against a complex step, which is exact to rounding.

For an analytic function of real coefficients, f(θ + ih) = f(θ) + ih f'(θ) + O(h²): the imaginary part, divided by h,
is the derivative, without the subtraction that spoils a difference quotient, so that h can be tiny (Squire and Trapp
1998). With ``theta`` stacked, row k with h on entry k, one forward pass gives every derivative.
"""

from typing import Any, NamedTuple

import numpy as np

from minnet.layers import Array
from minnet.network import Network
from minnet.support import expect, fit

ROUNDING = 1e-14  # of the network's largest gradient, or of a sample's share of it: lost on the way, and no error


class GradientCheck(NamedTuple):
    """The largest disagreement between ``dtheta`` and the complex step, and where it is.

    Attributes
    ----------
    error : float
        |analytic − numeric| there, divided by the largest absolute numeric gradient of the same parameter ; what
        may be rounding, a difference of 1e-14 of the network's largest gradient, counts at most as 1e-13.
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


def numeric_gradient(network: Network, x: Array, t: Array, h: float = 1e-30, sample_weight: Any = None) -> Array:
    """∂C/∂θ_k = imag C(θ + ih e_k) / h for every k, in double precision whatever the network's dtype (eq. 15).

    Parameters
    ----------
    x : array of shape (N, D)
        Samples.
    t : array of shape (N,) or (N, K)
        Targets.
    h : float, default 1e-30
        The length of the imaginary step.
    sample_weight : array of shape (N,), optional
        How much each sample counts.

    Returns
    -------
    array of the shape of theta, float64
    """
    if network.theta.ndim == 2:
        members = map(network.__getitem__, range(len(network.theta)))
        return np.stack([numeric_gradient(member, x, t, h, sample_weight) for member in members])
    theta = network.theta.astype(np.complex128)
    x = np.asarray(x, dtype=np.float64)
    t = expect.targets(t, network.K)
    rows = fit.rows_at_a_time(network, len(x))
    gradient = np.empty(theta.size)
    for start in range(0, theta.size, rows):
        entries = np.arange(start, min(start + rows, theta.size))
        stack = np.repeat(theta[np.newaxis], len(entries), axis=0)
        stack[np.arange(len(entries)), entries] += 1j * h
        loss = network.at(stack).forward(x, t, False, sample_weight)
        gradient[entries] = loss.imag / h
    return gradient


def check_gradients(network: Network, x: Array, t: Array, sample_weight: Any = None) -> GradientCheck:
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
    sample_weight : array of shape (N,), optional
        How much each sample counts.

    Returns
    -------
    GradientCheck
        An ``error`` of at most 1e-12 means that every gradient is right; a wrong backward gives more than 1e-6.

    Raises
    ------
    ValueError
        If every gradient is 0 to rounding, so that nothing would be compared; or if a layer's W is not the network's.
    """
    network.check_views()
    double = network.at(network.theta.astype(np.float64))
    double.forward(x, t, sample_weight=sample_weight)
    double.backward()
    numeric = numeric_gradient(network, x, t, sample_weight=sample_weight)
    rounding = ROUNDING * max(np.abs(numeric).max(), 1 / len(x))
    if not np.abs(numeric).max() > 1e-14:
        nothing = "checked nothing: every gradient is 0 to rounding, or NaN"
        raise ValueError(f"{nothing}; choose other samples or other weights")
    found = []
    for slot in fit.slots(double.layers):
        analytic: Array = getattr(slot.layer, "d" + slot.name)
        true = numeric[..., slot.entries].reshape(analytic.shape)
        errors = fit.relative_errors(analytic, true, rounding)
        worst = np.unravel_index(errors.argmax(), errors.shape)
        error, said, is_true = (float(array[worst]) for array in (errors, analytic, true))
        entry = tuple(map(int, worst[network.theta.ndim - 1 :]))
        found.append(GradientCheck(error, slot.place, slot.name, entry, said, is_true))
    return max(found)
