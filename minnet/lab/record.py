"""Which numbers does one step leave, and do its gradients hold? All of them by name, of any step of a training.

`record` takes one step apart, on a copy; `Recorder` those of a training that it is asked for, as they are taken.
"""

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minnet.lab.long_way import Softmax
from minnet.lab.trace import collected, copied, fixed, numbers_kept, output_of
from minnet.lab.trial import COMPLEX_STEP, units
from minnet.layers import Array, Dropout
from minnet.network import Network
from minnet.optimizers import Optimizer
from minnet.output import mean_loss
from minnet.support.fit import slots
from minnet.training import Training

TOLERANCE = {"float64": 1e-9, "float32": 1e-3}  # of gradients, by the network's dtype
DIFFERENCE = 6e-6  # the step of a difference quotient with the least error: the cube root of the rounding unit
SMALL = 1e-3  # of the largest gradient: smaller ones are held against this much, since rounding is all they may be


class Step(NamedTuple):
    """What was recorded of one step.

    Attributes
    ----------
    number : int
        Which step of the training it is, from 0.
    arrays : dict of str to array
        All of it by name, in the order of computation; see `record`.
    right : dict of str to array
        What the right program computes there, if the one that is explained has a mistake on purpose; else empty.
    """

    number: int
    arrays: dict[str, Array]
    right: dict[str, Array]


def record(
    network: Network, x: Array, t: Array, optimizer: Optimizer | None = None, sample_weight: Array | None = None
) -> dict[str, Array]:
    """Take one step, on a copy, and keep every array of it.

    Parameters
    ----------
    network, x, t, sample_weight
        As `minnet.lab.trace.collected` takes them: checked.
    optimizer : Optimizer, optional
        Whose step is taken, by a copy of it.

    Returns
    -------
    dict of str to array
        What `minnet.lab.trace.trace` gives, and

        - at the output "shifted" (z less its row's maximum), "exp" and its row's "sum", where y is their softmax; the
          samples' "weight" in the mean and, where the loss is their mean, "losses", (N, 1) each; "y-t"; and the long
          way, "dy" (−t/y), "jacobian" (N, K, K) and "product", of each sample's own loss (eqs. 4, 7, 8);
        - the update: of each parameter such as "0.W.new" and the optimizer's state, such as "0.W.velocity";
          "loss_change", ∇C · Δθ, is what the loss changes by to first order (eq. 14a), "loss_after" what it is then;
        - the proof: the exact gradients by complex steps, such as "0.dW.exact" and, at the logits, "2.dz.exact", and
          how far the backward pass is from them, such as "0.dW.error"; NaN where there is none, on a kink or of a
          loss that is not finite, or another one each time; and the "tolerance" of such errors.
    """
    found = collected(network, x, t, sample_weight)
    twin = fixed(network, network.theta.copy())
    with numbers_kept():
        twin.forward(x, t, False, sample_weight)
    found |= at_the_output(twin, found)
    if optimizer is not None:
        found |= update(network, twin, x, t, copy.deepcopy(optimizer), sample_weight)
    return found | proof(network, x, t, sample_weight, found)


@np.errstate(all="ignore")
def at_the_output(twin: Network, found: Mapping[str, Array]) -> dict[str, Array]:
    """Give what happens between the logits and dz, the short way and the long."""
    z, y, log_y = found[output_name(twin, len(twin.layers) - 1)], found["y"], found["log_y"]
    t = getattr(twin.output, "t", found["t"])  # smoothed, if it is to be
    w = getattr(twin.output, "w", None)
    weight = np.full((len(z), 1), 1 / len(z)) if w is None else w
    there: dict[str, Array] = {"t": t, "y-t": y - t, "weight": weight, "dy": -t / y}
    losses = -(t * log_y).sum(axis=-1, keepdims=True)
    if np.allclose((weight * losses).sum(), found["loss"], equal_nan=True):
        there["losses"] = losses
    softmax = Softmax()
    softmax.y = y
    there |= {"jacobian": softmax.jacobian, "product": softmax.backward(there["dy"])}
    shifted = z - z.max(axis=-1, keepdims=True)
    exp = np.exp(shifted)
    total = exp.sum(axis=-1, keepdims=True)
    if np.allclose(exp / total, y, equal_nan=True):
        there |= {"shifted": shifted, "exp": exp, "sum": total}
    return there


def update(
    network: Network, twin: Network, x: Array, t: Array, optimizer: Any, sample_weight: Array | None
) -> dict[str, Array]:
    """Take the step of an optimizer from where the forward pass was done, and say what came of it."""
    before, found = twin.theta.copy(), dict[str, Array]()
    twin.backward()
    optimizer.step(twin)
    for slot in slots(twin.layers):
        found[f"{slot.place}.{slot.name}.new"] = twin.theta[slot.entries].reshape(slot.shape).copy()
        for name, array in optimizer.state.items():
            if np.shape(array) == twin.theta.shape:
                found[f"{slot.place}.{slot.name}.{name}"] = array[slot.entries].reshape(slot.shape).copy()
    found["loss_change"] = np.asarray(twin.dtheta @ (twin.theta - before))
    with numbers_kept():
        found["loss_after"] = np.asarray(fixed(network, twin.theta).forward(x, t, False, sample_weight))
    return found


def proof(
    network: Network, x: Array, t: Array, sample_weight: Array | None, found: Mapping[str, Array]
) -> dict[str, Array]:
    """Hold every gradient against the slope of the loss, and say how far it is from that."""
    z = output_name(network, len(network.layers) - 1)
    dz = z.replace(".", ".d")
    places = {f"{slot.place}.d{slot.name}": slot for slot in slots(network.layers)}
    dtheta = np.concatenate([found[name].ravel() for name in places])

    def loss_of_logits(z: Array) -> Any:
        return mean_loss(copy.copy(network.output), z, t, sample_weight)

    def loss_of_theta(theta: Array) -> Any:
        with numbers_kept():
            return fixed(network, theta).forward(x, t, False, sample_weight)

    true_dz, doubt_of_dz = exact_slope(loss_of_logits, found[z], found[dz])
    gradient, doubt = exact_slope(loss_of_theta, network.theta, dtheta)
    least = SMALL * largest(gradient)
    proved = {f"{dz}.exact": true_dz, f"{dz}.error": error(found[dz], true_dz, least)}
    for name, slot in places.items():
        true = gradient[slot.entries].reshape(slot.shape)
        proved[f"{name}.exact"] = true
        proved[f"{name}.error"] = error(found[name], true, least)
    if not (np.isfinite(found["loss"]) and loss_of_theta(network.theta) == found["loss"]):  # which has no slope
        proved |= {name: np.asarray(np.nan) for name in proved if name.endswith(".error")}
    tolerance = max(TOLERANCE[network.theta.dtype.name], doubt, doubt_of_dz)
    return {**proved, "tolerance": np.asarray(tolerance)}


def largest(array: Array) -> float:
    """Find the largest absolute number, those left out that are none."""
    return float(np.abs(array).max(where=~np.isnan(array), initial=0))


def error(said: Array, true: Array, least: float) -> Array:
    """Compute how far a gradient is off at most, relative to its largest entry, or to the least that counts."""
    size = max(largest(true), least) or 1
    compared = np.where(np.isnan(true) & np.isfinite(said), 0, said - true)
    return np.asarray(np.nan_to_num(np.abs(compared).max() / size, nan=np.inf))


@np.errstate(all="ignore")
def exact_slope(loss: Callable[[Array], Any], where: Array, said: Array) -> tuple[Array, float]:
    """Differentiate a loss by complex steps (eq. 15), or if something on the way takes none, by central differences.

    On a kink, where the slopes to the right and to the left differ, there is none: NaN, unless one of them is said.

    Returns
    -------
    gradient : array of the shape of where, float64
    error : float
        What it may be off by, relative to its largest entry.
    """
    where = where.astype(np.float64)
    h = COMPLEX_STEP
    try:
        with warnings.catch_warnings(action="error", category=np.exceptions.ComplexWarning):
            right = along_each(lambda unit: loss(where + 1j * h * unit).imag / h, where.shape)
            if close(right, said):
                return right, 0.0
            left = along_each(lambda unit: loss(where - 1j * h * unit).imag / -h, where.shape)
    except Exception:  # a learner's code may raise anything
        right = left = np.full(where.shape, np.inf)
    h = DIFFERENCE
    difference = along_each(lambda unit: (loss(where + h * unit) - loss(where - h * unit)) / (2 * h), where.shape)
    size = largest(difference)
    on_kink = np.abs(right - left) > 1e-6 * size
    off = np.minimum(np.abs(right - said), np.abs(left - said))
    on_kink_said = np.where(off <= 1e-9 * size, said, np.nan)
    agree = np.abs(right - difference) <= 1e-4 * size
    if np.all(on_kink | agree):
        return np.where(on_kink, on_kink_said, right), 0.0
    return np.where(on_kink, on_kink_said, difference), 1e-6


def along_each(slope: Callable[[Array], Any], shape: tuple[int, ...]) -> Array:
    """Compute a slope along each entry in turn."""
    return np.reshape([slope(unit) for unit in units(shape)], shape)


def close(left: Array, right: Array) -> bool:
    """Tell whether two arrays are the same, but for rounding."""
    return bool(np.abs(left - right).max() <= 1e-9 * np.abs(left).max())


def output_name(network: Network, place: int) -> str:
    """Give the name of a layer's output, such as "0.z"."""
    return f"{place}.{output_of(network.layers[place])}"


def drop_alike(network: Network, like: Network) -> None:
    """Let dropout drop what it dropped last in another network."""
    for mine, theirs in zip(network.layers, like.layers, strict=True):
        if isinstance(mine, Dropout):
            mine.mask = theirs.mask


class Recorder(Training):
    """A training that takes apart the steps that it is asked for, before it takes them, and ends after the last.

    Attributes
    ----------
    wanted : sequence of int
        Which steps, from 0.
    right : callable or None
        Makes the right network at a theta, where the one that trains has a mistake on purpose.
    found : list of Step
        What was found so far.
    """

    wanted: Sequence[int] = (0,)
    right: Callable[[Array], Network] | None = None
    found: tuple[Step, ...] = ()

    def step(self, rows: Array) -> None:
        """Record the step if it is wanted, and take it; the samples are in the order of the data."""
        number, rows = len(self.history.batch_loss), np.sort(rows)
        if number in self.wanted:
            self.found += (self.recorded(number, rows),)
        super().step(rows)
        if number >= max(self.wanted) and not self.ended:
            self.end("interrupted")

    def recorded(self, number: int, rows: Array) -> Step:
        """Record a step that is about to be taken."""
        network, dataset = self.network, self.dataset
        x, t, w = self.batch(rows)
        ahead, drawn = (copied(network, network.theta.copy()) for _ in range(2))
        with numbers_kept():
            drawn.forward(x, t, False, w)
        drop_alike(ahead, drawn)  # what the step is going to drop
        arrays = record(ahead, x, t, self.optimizer, w)
        of_data = dataset.rows["train"][rows] if "train" in dataset.rows else rows
        arrays["row"] = of_data[:, np.newaxis] + 1
        arrays["raw"] = x * dataset.standardization.scale + dataset.standardization.mean
        right = {}
        if self.right is not None:
            other = self.right(network.theta)
            drop_alike(other, ahead)
            right_x, right_t, right_w = Training.batch(self, rows)
            right = record(other, right_x, right_t, self.optimizer, right_w)
        return Step(number, arrays, right)
