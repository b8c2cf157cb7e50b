"""What happens in one real step, from the batch to the update, and do its gradients hold? All its numbers, recorded.

`record` takes one step apart, `Recorder` those of a training as they are taken, and `explain` one of your own network in
the middle of your loop. What they find is an `Explanation`: a page, a walk through it in the terminal, or JSON.
"""

import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from minnet.data.dataset import Dataset, Part
from minnet.data.preprocessing import Preprocessing, Standardization
from minnet.gradient_check import ROUNDING
from minnet.lab.trace import passes
from minnet.lab.trial import COMPLEX_STEP, OnKink, slopes, units
from minnet.layers import Array, Linear, ReLU
from minnet.network import Network
from minnet.optimizers import SGD, Optimizer
from minnet.output import mean_loss
from minnet.support.files import write_text
from minnet.support.fit import described, relative_errors, shapes_of, slots
from minnet.training import Training

TOLERANCE = {
    "float64": 1e-9,
    "float32": 1e-3,
}  # of gradients in a network's dtype, relative to the largest of their kind
LOST = {"float64": ROUNDING, "float32": 1e-6}  # of the largest gradient of all, by rounding
MOST_BYTES = 3 * 2**20  # of a page


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


@dataclass
class Explanation:
    """One or several steps with all their numbers. As the last line of a notebook's cell it shows its page.

    Attributes
    ----------
    title : str
        What is explained.
    layers : list of dict
        Of each layer "name", "kind" (the class of minnet's that it is or inherits from, or ""), "output" ("z" or "a"),
        "parameters" (names), "linear" (whether its output is x W + b), and its docstrings "forward" and "backward".
    steps : list of Step
        In the order in which they were taken.
    losses : list of float
        The loss of each step's batch up to the last one that was recorded.
    about : dict
        "class_names", "feature_names", "picture" (height and width if a sample is one), "optimizer" (its repr, or ""),
        "output" (the output layer), "dtype", "tolerance", and "bug" (name, meaning and what catches it).
    """

    title: str
    layers: list[dict[str, Any]]
    steps: list[Step]
    losses: list[float]
    about: dict[str, Any] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """Give all of it as what JSON can hold; a number that is not finite becomes a string such as "NaN"."""
        steps = [
            {"number": number, "arrays": plain(arrays), "right": plain(right)} for number, arrays, right in self.steps
        ]
        named = {"title": self.title, "layers": self.layers, "steps": steps, "losses": plain(self.losses)}
        return {**named, **self.about}

    def page(self) -> str:
        """Give one HTML page, which asks for nothing from anywhere.

        Raises
        ------
        ValueError
            If it would have more than 3 MiB.
        """
        parts = files("minnet.lab") / "page"
        page, style, script = ((parts / f"page.{kind}").read_text("utf-8") for kind in ("html", "css", "js"))
        data = json.dumps(self.content(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        for place, text in (("STYLE", style), ("SCRIPT", script), ("DATA", data.replace("<", "\\u003c"))):
            page = page.replace(f"/*{place}*/", text)
        size = len(page.encode())
        if size > MOST_BYTES:
            remedy = "explain fewer steps, fewer samples, or a smaller network"
            raise ValueError(f"expected a page of at most 3 MiB, got {size / 2**20:.1f}: {remedy}")
        return page

    def save(self, path: str | Path) -> None:
        """Write the page into a file, which takes its place once it is whole."""
        write_text(Path(path), self.page())

    def _repr_html_(self) -> str:
        """Give what a notebook shows: the page in a frame of its own, so that the two leave each other alone."""
        from html import escape

        return f'<iframe srcdoc="{escape(self.page())}" style="width:100%;height:80vh;border:0"></iframe>'

    def __repr__(self) -> str:
        numbers = ", ".join(str(step.number) for step in self.steps)
        return f"<Explanation of {self.title}, steps {numbers}: .save('page.html') writes the page>"


def explain(
    network: Network, x: Array, t: Array, optimizer: Optimizer | None = None, sample_weight: Array | None = None
) -> Explanation:
    """Show one step of your network on your batch, with every number of it.

    Parameters
    ----------
    network : Network
        A single one. It is not changed; dropout drops what it dropped last.
    x, t, sample_weight
        A batch, as `Network.forward` takes it; a few samples are enough.
    optimizer : Optimizer, optional
        It is not changed, either. Without one no update is shown.

    Returns
    -------
    Explanation
        Write it with ``.save("page.html")``; in a notebook it shows itself.

    Raises
    ------
    TypeError, ValueError
        If the network is a stack, or the batch does not fit it.
    """
    if network.theta.ndim > 1:
        raise TypeError(f"explain: expected a single network, got a stack: take one of it, network[0], of {network!r}")
    x, t, sample_weight = network.check(x, t, sample_weight)
    arrays = record(network, x, t, optimizer, sample_weight)
    return explanation("your network", network, [Step(0, arrays, {})], [float(arrays["loss"])], optimizer)


def explanation(
    title: str, network: Network, steps: list[Step], losses: list[float], optimizer: Optimizer | None,
    dataset: Dataset | None = None, bug: Mapping[str, str] | None = None,
) -> Explanation:  # fmt: skip
    """Put together what was recorded and what the page says about it."""
    dtype = network.theta.dtype.name
    about: dict[str, Any] = {
        "class_names": list(dataset.class_names if dataset else map(str, range(network.K))),
        "feature_names": list(dataset.feature_names if dataset else (f"x{d + 1}" for d in range(network.D))),
        "picture": None,
        "optimizer": repr(optimizer) if optimizer else "",
        "output": described(network.output),
        "dtype": dtype,
        "tolerance": TOLERANCE[dtype],
        "bug": bug,
    }
    side = round(network.D**0.5)
    if side**2 == network.D and all(name.startswith("pixel") for name in about["feature_names"]):
        about["picture"] = [side, side]
    layers = [described_layer(network, place, steps[0].arrays) for place in range(len(network.layers))]
    return Explanation(title, layers, steps, losses, about)


def described_layer(network: Network, place: int, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Say what a layer is, by its class and by what it computed."""
    layer, shapes = network.layers[place], shapes_of(network.layers[place])
    output = "z" if "W" in shapes else "a"
    kinds = [each.__name__ for each in type(layer).__mro__ if each.__module__ in ("minnet.layers", "minnet.output")]
    x = arrays["x"] if place == 0 else arrays[output_name(network, place - 1)]
    linear = "W" in shapes and np.ndim(arrays[f"{place}.W"]) == 2 and x.shape[-1] == len(arrays[f"{place}.W"])
    if linear:
        z = x @ arrays[f"{place}.W"] + arrays.get(f"{place}.b", 0)
        linear = z.shape == arrays[f"{place}.z"].shape and np.allclose(z, arrays[f"{place}.z"], equal_nan=True)
    return {
        "name": described(layer),
        "kind": kinds[0] if kinds else "",
        "output": output,
        "parameters": list(shapes),
        "linear": bool(linear),
        "forward": summary(layer.forward),
        "backward": summary(layer.backward),
    }


def output_name(network: Network, place: int) -> str:
    """Give the name of a layer's output, such as "0.z"."""
    return f"{place}.{'z' if 'W' in shapes_of(network.layers[place]) else 'a'}"


def summary(function: Any) -> str:
    """Give the first line of a docstring, if there is one."""
    return (function.__doc__ or "").strip().partition("\n")[0]


def record(
    network: Network, x: Array, t: Array, optimizer: Optimizer | None = None, sample_weight: Array | None = None
) -> dict[str, Array]:
    """Take one step, on a copy, and keep every array of it.

    Parameters
    ----------
    network, x, t, sample_weight
        As `minnet.lab.trace.passes` takes them: checked.
    optimizer : Optimizer, optional
        Whose step is taken, by a copy of it.

    Returns
    -------
    dict of str to array
        What `minnet.lab.trace.trace` gives, and

        - at the output "shifted" (z less its row's maximum), "exp" and its row's "sum", where y is their softmax;
          "losses" of the samples and their "weight" in the mean, (N, 1) each; "y-t"; and the long way, "dy" (−t/y),
          "jacobian" (N, K, K) and "product", of each sample's own loss (eqs. 4, 7, 8);
        - the update: of each parameter such as "0.W.new" and the optimizer's state, such as "0.W.velocity";
          "loss_before", "loss_predicted" by ∇C · Δθ (eq. 14a), and "loss_after";
        - the proof: the exact gradients by complex steps, such as "0.dW.exact" and, at the logits, "2.dz.exact", and
          how far the backward pass is from them, such as "0.dW.error".
    """
    found = {"x": np.copy(x)}
    for place, name, array in passes(network, x, t, sample_weight):
        found[name if place < 0 else f"{place}.{name}"] = np.copy(array)
    twin = fixed(network)
    twin.forward(x, t, False, sample_weight)
    found |= at_the_output(twin, found)
    if optimizer is not None:
        found |= update(twin, x, t, copy.deepcopy(optimizer), sample_weight)
    return found | proof(network, x, t, sample_weight, found)


def fixed(network: Network) -> Network:
    """Copy a network so that dropout drops what it dropped last."""
    twin = network.at(network.theta.copy())
    twin.dtheta[...] = network.dtheta  # for a layer that adds to it, by mistake
    for layer in twin.layers:
        if hasattr(layer, "mask"):
            layer.random = None
    return twin


@np.errstate(all="ignore")
def at_the_output(twin: Network, found: Mapping[str, Array]) -> dict[str, Array]:
    """Give what happens between the logits and dz, the short way and the long."""
    z, y, log_y = found[output_name(twin, len(twin.layers) - 1)], found["y"], found["log_y"]
    t = getattr(twin.output, "t", found["t"])  # smoothed, if it is to be
    w = getattr(twin.output, "w", None)
    shifted = z - z.max(axis=-1, keepdims=True)
    exp = np.exp(shifted)
    total = exp.sum(axis=-1, keepdims=True)
    steps = {"shifted": shifted, "exp": exp, "sum": total} if np.allclose(exp / total, y, equal_nan=True) else {}
    dy = -t / y
    jacobian = y[..., np.newaxis] * (np.eye(y.shape[-1]) - y[..., np.newaxis, :])
    return {
        **steps,
        "t": t,
        "losses": -(t * log_y).sum(axis=-1, keepdims=True),
        "weight": np.full((len(z), 1), 1 / len(z)) if w is None else w,
        "y-t": y - t,
        "dy": dy,
        "jacobian": jacobian,
        "product": (dy[..., np.newaxis, :] @ jacobian)[..., 0, :],
    }


def update(twin: Network, x: Array, t: Array, optimizer: Any, sample_weight: Array | None) -> dict[str, Array]:
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
    found["loss_after"] = np.asarray(twin.forward(x, t, False, sample_weight))
    return found


def proof(
    network: Network, x: Array, t: Array, sample_weight: Array | None, found: Mapping[str, Array]
) -> dict[str, Array]:
    """Hold every gradient against the slope of the loss, and say how far it is from that."""
    double = fixed(network).at(network.theta.astype(np.float64))
    last = output_name(network, len(network.layers) - 1)
    back = ".d".join(last.split("."))

    def loss(changed: Mapping[str, Array]) -> Any:
        if "z" in changed:
            return mean_loss(copy.copy(network.output), changed["z"], t, sample_weight)
        return double.at(changed["theta"]).forward(x, t, False, sample_weight)

    dtheta = np.concatenate([found[f"{slot.place}.d{slot.name}"].ravel() for slot in slots(network.layers)])
    exact = exact_slopes(loss, {"z": found[last]}, {"z": found[back]})
    exact |= exact_slopes(loss, {"theta": double.theta}, {"theta": dtheta})
    parts = {back: exact["z"]}
    for slot in slots(network.layers):
        parts[f"{slot.place}.d{slot.name}"] = exact["theta"][slot.entries].reshape(slot.shape)
    proved = {}
    rounding = LOST[network.theta.dtype.name] * max(np.abs(exact["theta"]).max(), 1 / len(x))
    for name, true in parts.items():
        errors = relative_errors(found[name], true, rounding)
        proved |= {f"{name}.exact": true, f"{name}.error": np.asarray(errors.max())}
    return proved


@np.errstate(all="ignore")
def exact_slopes(
    loss: Callable[[Mapping[str, Array]], Any], values: Mapping[str, Array], analytic: Mapping[str, Array]
) -> dict[str, Array]:
    """Differentiate a loss exactly; on a kink, where left and right differ, from the side nearer to what is said."""
    values = {name: value.astype(np.float64) for name, value in values.items()}
    try:
        return slopes(loss, values, np.random.default_rng(0))[0]
    except OnKink:
        sides = {}
        for name, value in values.items():
            right, left = (
                np.reshape([loss({name: value + 1j * h * unit}).imag / h for unit in units(value.shape)], value.shape)
                for h in (COMPLEX_STEP, -COMPLEX_STEP)
            )
            nearer = np.abs(right - analytic[name]) <= np.abs(left - analytic[name])
            sides[name] = np.where(nearer, right, left)
        return sides


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
        ahead = network.at(network.theta.copy())
        ahead.forward(x, t, False, w)  # drops what the step is going to drop
        ahead.theta[...], ahead.dtheta[...] = network.theta, network.dtheta
        arrays = record(ahead, x, t, self.optimizer, w)
        of_data = dataset.rows["train"][rows] if "train" in dataset.rows else rows
        arrays["row"] = of_data[:, np.newaxis] + 1
        arrays["raw"] = x * dataset.standardization.scale + dataset.standardization.mean
        right = {}
        if self.right is not None:
            right_x, right_t, right_w = Training.batch(self, rows)
            right = record(self.right(network.theta), right_x, right_t, self.optimizer, right_w)
        return Step(number, arrays, right)


def explain_training(
    title: str, network: Network, optimizer: Optimizer, dataset: Dataset, samples: int, steps: Sequence[int],
    kind: type[Training] = Training, right: Callable[[Array], Network] | None = None,
    bug: Mapping[str, str] | None = None,
) -> Explanation:  # fmt: skip
    """Train a network for as long as it takes, in place, and explain some of the steps.

    Parameters
    ----------
    title : str
        What the page is called.
    network, optimizer, dataset
        As `Training` takes them.
    samples : int
        The size of a batch.
    steps : sequence of int
        Which steps to explain, from 0.
    kind : type of Training
        With a mistake on purpose, if it is to be.
    right : callable, optional
        As `Recorder` has it.
    bug : mapping, optional
        What the page says of such a mistake.

    Returns
    -------
    Explanation
        Of fewer steps, if the training diverged before.
    """
    recorder = type("Recorder", (Recorder, kind), {})(network, optimizer, dataset, max(steps) + 1, samples)
    recorder.wanted, recorder.right = sorted(steps), right
    with np.errstate(all="ignore" if bug else "warn"):
        recorder.run()
    return explanation(title, network, list(recorder.found), recorder.history.batch_loss, optimizer, dataset, bug)


def tiny() -> tuple[Network, SGD, Dataset]:
    """Make the network of 2, 3 and 3 units, its optimizer and its two samples that docs/backprop.md writes out."""
    network = Network([Linear(2, 3), ReLU(), Linear(3, 3)], dtype="float64")
    first, _, second = network.layers
    first.W[...] = [[0.5, -0.5, 1], [0.5, 1, -0.5]]
    first.b[...] = [0, -0.5, 0.5]
    second.W[...] = [[1, 0, -1], [-0.5, 0.5, 1], [0, 0.5, -0.5]]
    second.b[...] = [0, 0, 0.5]
    samples = Part(np.array([[1.0, 2.0], [2.0, -1.0]]), np.array([0, 2]))
    unchanged = Preprocessing.plain(("x1", "x2"), Standardization(np.zeros(2), np.ones(2)))
    return network, SGD(0.1, 0.9), Dataset("tiny", samples, samples, samples, ("A", "B", "C"), unchanged)


def plain(value: Any) -> Any:
    """Give arrays as lists of numbers; one that is not finite, which JSON cannot hold, becomes a string."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
