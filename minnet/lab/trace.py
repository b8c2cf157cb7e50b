"""What are the numbers of one step? Every array of a forward and a backward pass, by name, from the real layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minnet.network import Network
from minnet.output import mean_loss
from minnet.support.fit import described, shapes_of
from minnet.support.stack import Array

if TYPE_CHECKING:
    from minnet.training import Training

LARGE_FEATURE = 1e3  # a standardised feature beyond it is no longer harmless


class Traced(NamedTuple):
    """One array of a step: the layer's place in the network, or None, its name there, and the array."""

    layer: int | None
    name: str
    array: Array


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
        with a W, else "a"); "y" and "loss"; and back again the gradients at the layers' outputs, such as "2.dz", their
        parameters', such as "2.dW", and "dx" at the input.
    """
    x, t, sample_weight = network.check(x, t, sample_weight)
    steps = passes(network, x, t, sample_weight)
    return {name if layer is None else f"{layer}.{name}": np.copy(array) for layer, name, array in steps}


def passes(network: Network, x: Array, t: Array | None, sample_weight: Array | None = None) -> Iterator[Traced]:
    """Give the arrays of a forward and a backward pass as they are computed; without ``t`` of a prediction."""
    twin = network.at(network.theta.copy())
    outputs = ["z" if "W" in shapes_of(layer) else "a" for layer in twin.layers]
    yield Traced(None, "x", x)
    for place, layer in enumerate(twin.layers):
        if getattr(network.layers[place], "mask", None) is not None:
            layer.random = None  # what was dropped is dropped again
        for name in shapes_of(layer):
            yield Traced(place, name, getattr(layer, name))
        x = (layer.forward if t is not None else getattr(layer, "infer", layer.forward))(x)
        yield Traced(place, outputs[place], x)
    if t is None:
        return
    yield Traced(None, "t", t)
    yield Traced(None, "y", twin.output.probabilities(x))
    yield Traced(None, "loss", np.asarray(mean_loss(twin.output, x, t, sample_weight)))
    if hasattr(twin.layers[0], "needs_dx"):
        twin.layers[0].needs_dx = True
    doutput = twin.output.backward()
    for place, layer in reversed(list(enumerate(twin.layers))):
        yield Traced(place, "d" + outputs[place], doutput)
        doutput = layer.backward(doutput)
        for name in shapes_of(layer):
            yield Traced(place, "d" + name, getattr(layer, "d" + name))
    if doutput is not None:
        yield Traced(None, "dx", doutput)


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
    logits = None
    for layer, name, array in passes(network, x, t, sample_weight):
        if layer == last and name in ("z", "a"):
            logits = array
        if np.isfinite(array).all() or name == "y":
            continue
        found: dict[str, Any] = {"where": "the loss", "layer": last, "array": name}
        if layer is not None:
            kind = "the gradient" if name.startswith("d") else "the parameter"
            if name in ("z", "a"):
                kind = "the logits, the output" if layer == last else "the activation, the output"
                found["array"] = "logits" if layer == last else "activation"
            if name in ("dz", "da") and layer < last:  # made by the backward of the layer after it
                layer, found["array"] = layer + 1, "dx"
            shown = kind if name in ("z", "a") else f"{kind} {found['array']}"
            found |= {"where": f"{shown} of layer {layer}, {described(network.layers[layer])}", "layer": layer}
        if name == "loss" and logits is not None and t is not None:
            with np.errstate(all="ignore"):
                log_y = np.log(network.output.probabilities(logits))
            found["sample"] = int((np.where(np.isfinite(log_y), log_y, -1e300) * t).sum(axis=-1).argmin())
        elif layer is None or name.lstrip("d") in ("z", "a", "x"):
            found["sample"] = int(np.argwhere(~np.isfinite(array))[0][-2])
        return found
    return {}


def divergence(training: Training) -> dict[str, Any]:
    """Say where the first number that is not finite came up in a training that it ended, by doing the step once more.

    Returns
    -------
    dict
        "reason", "epoch", "step"; what `first_nonfinite` found, the sample's row being that of the training split;
        "cause"; "weights_of_epoch", which the network gets back; and "text", all of it to read.
    """
    ended, network, dataset = training.ended, training.network, training.dataset
    if ended is None or ended.split is None:
        raise ValueError("expected a training that diverged")
    x = getattr(training, ended.split)[0]
    if ended.rows is None:
        found = first_nonfinite(network, x)
    else:
        found = first_nonfinite(network, *training.batch(ended.rows))
    for name, array in training.optimizer.state.items():
        if not found and not np.isfinite(array).all():
            found = {"where": f"{type(training.optimizer).__name__}'s state {name}", "layer": None, "array": name}
    found = found or {"where": "the gradient's norm", "array": "gradient"}
    sample = found.pop("sample", None)
    if sample is not None and ended.split == "train":
        found["sample"] = row = int(sample if ended.rows is None else ended.rows[sample])
        origin = dataset.rows.get("train")
        of_data = "" if origin is None else f" (row {origin[row] + 1} of the data)"
        found["where"] += f", of sample {row} of the training split{of_data}"
    x = training.train[0]
    row, d = np.unravel_index(np.abs(x).argmax(), x.shape)
    cause = f"lower the learning rate, which is {training.optimizer.lr:g}"
    if abs(x[row, d]) > LARGE_FEATURE:
        name = dataset.feature_names[d]
        cause = f"feature {name!r} of sample {row} is {x[row, d]:.3g} after standardising: scale or clip it"
    kept = int(training.history.kept[-1]) if training.history.kept else 0
    weights = f"the weights of epoch {kept}" if kept else "its initial weights"
    where = f"in epoch {ended.epoch}, step {ended.step}: {found['where']} is not finite"
    text = f"training diverged {where}; {cause}; the network has {weights} again"
    place = {"reason": "diverged", "epoch": ended.epoch, "step": ended.step}
    return {**place, **found, "cause": cause, "weights_of_epoch": kept, "text": text}
