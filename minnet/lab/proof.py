"""Is the gradient of a network right, before it trains? Held against slopes of the loss along random directions.

A complex step along a direction v gives dtheta · v, in which every gradient has its part: a few directions prove all of
them at once, at the cost of a few forward passes.
"""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from minnet.lab.culprit import NUDGE, independent, judge, last_samples
from minnet.network import Network
from minnet.support.stack import Array, plain

SAMPLES, NETWORKS = 8, 3  # on which the gradient is proved; all networks of a stack run the same lines
PROVEN = 1e-10  # the error up to which it is; beyond it, a closer look is taken
COARSE = 1e-6  # the step of difference quotients, which tell only whether complex steps can be believed


def prove(training: Any) -> dict[str, Any] | None:
    """Hold the gradient of a training's first samples against the slopes of their loss.

    Parameters
    ----------
    training : Training
        Before its first step. Nothing of it is changed.

    Returns
    -------
    dict or None
        "error", the largest one, of a stack that of its first network; "directions", "samples" and "seed", how many
        were tried and what they were drawn with; and "by", complex steps or difference quotients. None if nothing
        could be compared.

    Raises
    ------
    ValueError
        If the gradient is wrong.
    """
    few, rows = training.network, training.order(0)[..., :SAMPLES]
    if training.stack:
        few, rows = few.at(few.theta[:NETWORKS]), rows[:NETWORKS]
        few.random.generators = few.random.generators[:NETWORKS]
    x, t, w = training.batch(rows)
    batch = x, t, None if w is None else 1 + w  # those of weight 0 count here, too
    tried = {"directions": 3, "samples": x.shape[-2], "seed": 0}
    with on_trial():
        with contextlib.suppress(Exception):  # a learner's layer may not take complex numbers
            errors = check_directions(few, *batch)
            if np.max(errors) <= PROVEN:
                return {"error": float(np.ravel(errors)[0]), **tried, "by": "complex steps"}
        return judge(few, *batch)  # it may be right all the same


def check_directions(
    network: Network, x: Array, t: Array, sample_weight: Array | None = None, directions: int = 3, seed: int = 0
) -> Any:
    """Compare dtheta · v with imag C(θ + ih v) / h for a few random directions v (eq. 15), each on a batch of its own.

    The batches have different sizes, and the layers see them one after the other as in training: so a wrong 1/N shows,
    and what was left of the batch before. A direction takes two forward passes and one backward.

    Parameters
    ----------
    network : Network
        Or a stack. It is not changed; the check runs on a copy in double precision, of weights moved by up to 0.001.
    x, t, sample_weight : arrays of shape (…, N, D), (…, N, K), (…, N)
        A batch, as `Network.forward` takes it without a check.
    directions : int, default 3
        How many.
    seed : int, default 0
        What they are drawn with.

    Returns
    -------
    float, or array of shape (S,) for a stack
        The largest |dtheta · v − slope|, relative to the largest of these numbers of the same network.

    Raises
    ------
    ValueError
        If a layer's W or dW is not the network's; or if complex steps cannot be believed.
    """
    rng, N, h = np.random.default_rng(seed), x.shape[-2], 1e-30
    n = network.theta.shape[-1]  # networks of a stack are moved alike, whatever others are in it
    theta = network.theta + rng.uniform(-NUDGE, NUDGE, n)
    double = independent(network, theta.copy())
    found = []
    for k in range(directions):
        batch = last_samples(max(N - k, 2), x, t, sample_weight)
        v = rng.uniform(-1, 1, n)
        steps = (1j * h,) if found else (1j * h, COARSE, -COARSE)
        twins = [double.at(theta + step * v) for step in steps]  # now, so that they drop what it will drop
        double.forward(*batch)
        double.backward()
        double.check_views()
        said, true = np.vecdot(double.dtheta, v), twins[0].forward(*batch).imag / h
        found.append((said, true))
        if len(found) == 1:
            right, left = (twin.forward(*batch) for twin in twins[1:])
            about = (right - left) / (2 * COARSE)
            if not (np.abs(true - about) <= 1e-3 * np.maximum(np.abs(said), np.abs(about))).all():
                raise ValueError("complex steps and difference quotients disagree: a layer may lose imaginary parts")
    largest = np.maximum(np.abs(found).max(axis=(0, 1)), np.finfo(float).tiny)
    errors = np.abs(np.diff(found, axis=1)).max(axis=(0, 1)) / largest
    return plain(errors)


@contextlib.contextmanager
def on_trial() -> Iterator[None]:
    """Run a learner's layers so that nothing is seen of it: no warning, no random number of NumPy's gone."""
    state = np.random.get_state()  # noqa: NPY002 - layers may draw from there, in place of RandomNumbers
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
