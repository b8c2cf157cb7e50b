"""What are the numbers of one step? Every array of a forward and a backward pass, by name, from the real layers."""

import contextlib
import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minnet.layers import Dropout
from minnet.network import Network
from minnet.output import SoftmaxCrossEntropy, log_softmax, mean_loss
from minnet.support.fit import described, shapes_of
from minnet.support.stack import Array

KINDS = ("new", "exact", "error")  # of which there is one of a parameter, such as "0.W.new" (lab/record.py)
LARGE_FEATURE = 1e3  # a standardised feature beyond it is no longer harmless


def trace(network: Network, x: Array, t: Array, sample_weight: Array | None = None) -> dict[str, Array]:
    """Do one step's forward and backward pass, and return every array of it by name, in the order of computation.

    Parameters
    ----------
    network : Network
        It is not changed: running averages do not move, and dropout drops what it dropped last.
    x, t, sample_weight
        A batch, as `Network.forward` takes it.

    Returns
    -------
    dict of str to array
        "x", "t"; of each layer its parameters and its output, such as "0.W", "0.b" and "0.z", "1.a" ("z" of a layer
        with a W, else "a"; the other if a parameter is called so), and what else it remembers of the batch, such as
        "2.mask"; "y", "log_y" and "loss"; and back again the gradients at the layers' outputs, such as "2.dz", their
        parameters', such as "2.dW", and "dx" at the input.

    Raises
    ------
    TypeError, ValueError
        If the batch does not fit the network, or a layer's W is not the network's.
    """
    network.check_views()
    return collected(network, *network.check(x, t, sample_weight))


def collected(network: Network, x: Array, t: Array, sample_weight: Array | None = None) -> dict[str, Array]:
    """Give the arrays of `passes` by name, of a batch that was checked."""
    found = {"x": np.copy(x)}
    with numbers_kept():
        for place, name, array in passes(network, x, t, sample_weight):
            found[name if place < 0 else f"{place}.{name}"] = np.copy(array)
    return found


@contextlib.contextmanager
def numbers_kept() -> Iterator[None]:
    """Put the random numbers of Python and NumPy back to where they are; a learner's layer may draw from there."""
    pythons, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(pythons)
        np.random.set_state(numpys)  # noqa: NPY002


def output_of(layer: object) -> str:
    """Name what a layer computes: z if it has a W, else a; what is no parameter's name already."""
    shapes = shapes_of(layer)
    names = ("z", "a", "out") if "W" in shapes else ("a", "z", "out")
    return next(name for name in names if name not in shapes)


def passes(
    network: Network, x: Array, t: Array | None = None, sample_weight: Array | None = None
) -> Iterator[tuple[int, str, Array]]:
    """Give the arrays of a forward and a backward pass as they are computed; without ``t`` of a prediction.

    Each comes with its layer's place in the network, or −1 if it is no layer's, and its name there.
    """
    twin = fixed(network, network.theta.copy())
    outputs = [output_of(layer) for layer in twin.layers]
    for place, layer in enumerate(twin.layers):
        for name in shapes_of(layer):
            yield place, name, getattr(layer, name)
        before, x = x, layer.forward(x) if t is not None else getattr(layer, "infer", layer.forward)(x)
        yield place, outputs[place], x
        for name, array in remembered(layer, (before, x)):
            yield place, name, array
    if t is None:
        return
    yield -1, "t", t
    yield -1, "y", twin.output.probabilities(x)
    yield -1, "log_y", log_probabilities(twin.output, x)
    yield -1, "loss", mean_loss(twin.output, x, t, sample_weight)
    if hasattr(twin.layers[0], "needs_dx"):
        twin.layers[0].needs_dx = True
    doutput = twin.output.backward()
    for place, layer in reversed(list(enumerate(twin.layers))):
        yield place, "d" + outputs[place], doutput
        doutput = layer.backward(doutput)
        for name in shapes_of(layer):
            yield place, "d" + name, getattr(layer, "d" + name)
    if doutput is not None:
        yield -1, "dx", doutput


def fixed(network: Network, theta: Array) -> Network:
    """Give the network at another point, where dropout drops what it dropped last."""
    twin = copied(network, theta)
    for layer in twin.layers:
        if isinstance(layer, Dropout) and hasattr(layer, "mask"):
            layer.random = None
    return twin


def independent(network: Network, theta: Array) -> Network:
    """Give the network at another point, with copies of all that its layers hold."""
    twin = copy.copy(network)
    twin.layers, twin.output = copy.deepcopy((network.layers, network.output))
    return twin.at(theta)


def copied(network: Network, theta: Array) -> Network:
    """Give the network at another point, with copies of what its layers hold, as far as that can be copied."""
    twin = network.at(theta)
    with contextlib.suppress(Exception):  # a learner's layer may hold a module, or a file
        twin = independent(network, theta)
    if twin.dtheta.dtype == network.dtheta.dtype:
        twin.dtheta[...] = network.dtheta  # for a layer that adds to it, by mistake
    return twin


def remembered(layer: object, known: Sequence[Array]) -> Iterator[tuple[str, Array]]:
    """Give the arrays of numbers that a layer holds, those left out that are known or have the name of another."""
    named = {
        "x",
        "dx",
        *KINDS,
        *(name for quantity in (output_of(layer), *shapes_of(layer)) for name in (quantity, "d" + quantity)),
    }
    for name, array in getattr(layer, "__dict__", {}).items():
        is_numbers = isinstance(array, np.ndarray) and array.dtype.kind in "biuf"
        if is_numbers and name.isidentifier() and name not in named and not any(array is each for each in known):
            yield name, array


@np.errstate(all="ignore")
def log_probabilities(output: Any, z: Array) -> Array:
    """Compute log y as the output layer does: by log-sum-exp, unless its probabilities are other ones."""
    softmax = getattr(type(output), "probabilities", None) is SoftmaxCrossEntropy.probabilities
    log_y: Array = log_softmax(z) if softmax else np.log(output.probabilities(z))
    return log_y


@np.errstate(all="ignore")
def first_nonfinite(
    network: Network, x: Array, t: Array | None = None, sample_weight: Array | None = None
) -> dict[str, Any]:
    """Find the first array of a step, or without ``t`` of a prediction, that is not finite.

    Returns
    -------
    dict
        "where", to read; "layer", its place, and "array", its name; and "sample", its row in the batch, if it has one.
        Empty if all are finite.
    """
    last = len(network.layers) - 1
    for place, name, array in passes(network, x, t, sample_weight):
        if name == "log_y":
            log_y = np.nan_to_num(array, nan=-1e30, neginf=-1e30)
        passed_on = place < 0 or name.removeprefix("d") in ("z", "a", *shapes_of(network.layers[place]))
        if name in ("y", "log_y") or not passed_on or np.isfinite(array).all():
            continue
        if name == "loss":
            sample = int((log_y * t).sum(axis=-1).argmin())
            return {"where": "the loss", "layer": last, "array": name, "sample": sample}
        by_sample = name in ("z", "a", "dz", "da", "dx")
        what = f"the gradient {name}" if name.startswith("d") else f"the parameter {name}"
        if name in ("z", "a"):
            name = "logits" if place == last else "activation"
            what = f"the {name}, the output"
        elif by_sample and place != last:  # made by the backward of the layer after it
            place, name, what = place + 1, "dx", "the gradient dx"
        found = {"where": f"{what} of layer {place}, {described(network.layers[place])}", "layer": place, "array": name}
        if by_sample:
            found["sample"] = int(np.argwhere(~np.isfinite(array))[0][-2])
        return found
    return {}


def divergence(training: Any) -> dict[str, Any]:
    """Say where the first number that is not finite came up in a training that it ended, by doing the step once more.

    Parameters
    ----------
    training : Training
        It has ended for that reason.

    Returns
    -------
    dict
        "reason", "epoch", "step"; what `first_nonfinite` found, the sample's row being that of the training split;
        "cause"; "weights_of_epoch", which the network gets back; and "text", all of it to read.
    """
    ended, optimizer, dataset = training.ended, training.optimizer, training.dataset
    whole = getattr(training, ended.split)[:1]  # evaluated: its samples alone
    found = first_nonfinite(training.network, *(whole if ended.rows is None else training.batch(ended.rows)))
    for name, array in optimizer.state.items():
        if not found and not np.isfinite(array).all():
            found = {"where": f"{type(optimizer).__name__}'s state {name}", "layer": None, "array": name}
    found = found or {"where": "the gradient's norm", "array": "gradient"}
    sample = found.pop("sample", None)
    if sample is not None and ended.split == "train":
        found["sample"] = row = int(sample if ended.rows is None else ended.rows[sample])
        of_data = f" (row {dataset.rows['train'][row] + 1} of the data)" if "train" in dataset.rows else ""
        found["where"] += f", of sample {row} of the training split{of_data}"
    x = training.train[0]
    row, d = np.unravel_index(np.abs(x).argmax(), x.shape)
    cause = f"lower the learning rate, which is {optimizer.lr:g}"
    if abs(x[row, d]) > LARGE_FEATURE:
        name = dataset.feature_names[d]
        cause = f"feature {name!r} of sample {row} is {x[row, d]:.3g} after standardising: scale or clip it"
    kept = int([0, *training.history.kept][-1])
    weights = f"the weights of epoch {kept}" if kept else "its initial weights"
    where = f"in epoch {ended.epoch}, step {ended.step}: {found['where']} is not finite"
    text = f"training diverged {where}; {cause}; the network has {weights} again"
    ending = {"reason": "diverged", "epoch": ended.epoch, "step": ended.step}
    return ending | found | {"cause": cause, "weights_of_epoch": kept, "text": text}
