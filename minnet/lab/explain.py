"""What happens in one real step, from the batch to the update? An explanation of it, to read, to print, to point at.

`explain` explains one of your own network in the middle of your loop, `explain_training` some of a training.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minnet.data.dataset import Dataset, Part
from minnet.data.preprocessing import Preprocessing, Standardization
from minnet.lab.record import Recorder, Step, output_name, record
from minnet.lab.trace import output_of
from minnet.layers import Array, LeakyReLU, Linear, ReLU
from minnet.network import Network
from minnet.optimizers import SGD, Adam, Optimizer
from minnet.support import expect
from minnet.support.files import write_text
from minnet.support.fit import check_part, described, shapes_of
from minnet.support.text import counted, nearest, one_line
from minnet.training import Training

MOST_BYTES = 3 * 2**20  # of a page
SCRIPTS = ("recorded.js", "maps.js", "formulas.js", "pointing.js", "sections.js", "page.js")
REMEDY = "explain fewer steps, fewer samples, or a smaller network"
MOST_ENTRIES = 30_000  # of theta, in all steps: about as many as fit into a page


@dataclass
class Explanation:
    """One or several steps with all their numbers. As the last line of a notebook's cell it shows its page.

    Attributes
    ----------
    title : str
        What is explained.
    layers : list of dict
        Of each layer "name", "kind" (the class of minnet's that it is or inherits from, or ""), "output" ("z" or "a"),
        "parameters" (names), "linear" (whether its output is x W + b), "slope" (of a leaky ReLU), and its docstrings
        "forward" and "backward".
    steps : list of Step
        In the order in which they were taken.
    losses : list of float
        The loss of each step's batch up to the last one that was recorded.
    about : dict
        "class_names", "feature_names", "picture" (height and width if a sample is one), "optimizer" (its repr, or ""),
        "update" (whose equation it steps by, "SGD", "Nesterov", "Adam" or "") and "lr" (of these), "output" (the output
        layer), "dtype", "tolerance", "bug" (name, meaning, sign and what catches it), and "hidden" (names of the arrays
        that are left blank).
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

    def hide(self, names: Sequence[str]) -> None:
        """Leave blanks for some arrays, by a name such as "2.dz", or by its end, such as "dz" for that of each layer.

        What would give a hidden gradient away is hidden, too: its parameter after the step, and the optimizer's state.

        Raises
        ------
        ValueError
            If there is no such array.
        """
        names = [names] if isinstance(names, str) else names
        arrays = self.steps[0].arrays
        known = dict.fromkeys(end for name in arrays for end in ends(name) if "." not in end)
        for name in names:
            if not any(name in ends(each) for each in arrays):
                near = ", ".join(nearest(name, known)[:12])
                raise ValueError(f"hide: expected the names of arrays, got {name!r:.80}; there are {near}, …")
        hidden = [each for each in arrays if not {*ends(each)}.isdisjoint(names)]
        for gradient in tuple(hidden):
            place, _, name = gradient.partition(".d")
            hidden += [each for each in arrays if each.startswith(f"{place}.{name}.")]
        self.about["hidden"] = list(dict.fromkeys(hidden))

    def wrong(self) -> dict[str, float]:
        """Give the gradients that do not hold, by name, and how far off they first were."""
        found = dict[str, float]()
        for step in self.steps:
            for name, array in step.arrays.items():
                if name.endswith(".error") and array > self.about["tolerance"]:
                    found.setdefault(name.removesuffix(".error"), float(array))
        return found

    def lost(self) -> list[int]:
        """Give the numbers of the steps whose loss has no slope to hold a gradient against."""
        errors = {
            step.number: [array for name, array in step.arrays.items() if name.endswith(".error")]
            for step in self.steps
        }
        return [number for number, each in errors.items() if np.isnan(each).any()]

    def page(self) -> str:
        """Give one HTML page, which asks for nothing from anywhere.

        Raises
        ------
        ValueError
            If it would have more than 3 MiB.
        """
        from importlib.resources import files

        parts = files("minnet.lab") / "page"
        page, style, *scripts = ((parts / name).read_text("utf-8") for name in ("page.html", "page.css", *SCRIPTS))
        data = json.dumps(self.content(), allow_nan=False, separators=(",", ":"))
        for place, text in (("STYLE", style), ("SCRIPT", "\n".join(scripts)), ("DATA", data.replace("<", "\\u003c"))):
            page = page.replace(f"/*{place}*/", text)
        size = len(page.encode())
        if size > MOST_BYTES:
            raise ValueError(f"expected a page of at most 3 MiB, got {size / 2**20:.1f}: {REMEDY}")
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


def ends(name: str) -> list[str]:
    """Give what an array may be called: "2.W.new", "W.new" or "new"."""
    parts = name.split(".")
    return [".".join(parts[k:]) for k in range(len(parts))]


def explain(
    network: Network,
    x: Array,
    t: Array,
    optimizer: Optimizer | None = None,
    sample_weight: Array | None = None,
    step: int = 0,
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
    step : int, default 0
        Which step of your training it is, for the title.

    Returns
    -------
    Explanation
        Write it with ``.save("page.html")``; in a notebook it shows itself.

    Raises
    ------
    TypeError, ValueError
        If the network is a stack, the batch does not fit it, or a layer's W is not the network's.
    """
    if network.theta.ndim > 1:
        raise TypeError(f"explain: expected a single network, got a stack: take one of it, network[0], of {network!r}")
    check_size(network, 1)
    network.check_views()
    if optimizer is not None:
        check_part("explain optimizer", optimizer, "SGD(0.1)", "step")
    x, t, sample_weight = network.check(x, t, sample_weight)
    arrays = record(network, x, t, optimizer, sample_weight)
    return explanation(
        "your network",
        network,
        [Step(expect.integer("explain step", step, 0), arrays, {})],
        [float(arrays["loss"])],
        optimizer,
    )


def check_size(network: Network, steps: int) -> None:
    """Raise ValueError, before any work is done, if so many steps of a network are too much to be read."""
    entries = network.theta.size * steps
    if entries > MOST_ENTRIES:
        has = f"{network.theta.size:,} parameters in {counted(steps, 'step')}"
        raise ValueError(f"expected a network and steps of at most {MOST_ENTRIES:,} entries, got {has}: {REMEDY}")


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
        "optimizer": one_line(repr(optimizer)) if optimizer else "",
        "update": "",
        "lr": None,
        "output": one_line(described(network.output)),
        "dtype": dtype,
        "tolerance": max(float(step.arrays["tolerance"]) for step in steps),
        "bug": bug,
        "hidden": [],
    }
    if optimizer is not None and type(optimizer) in (SGD, Adam):
        about["update"] = "Nesterov" if getattr(optimizer, "nesterov", False) else type(optimizer).__name__
        about["lr"] = float(optimizer.lr)
    side = round(network.D**0.5)
    if side**2 == network.D and all(name.startswith("pixel") for name in about["feature_names"]):
        about["picture"] = [side, side]
    layers = [described_layer(network, place, steps[0].arrays) for place in range(len(network.layers))]
    return Explanation(title, layers, steps, losses, about)


def described_layer(network: Network, place: int, arrays: Mapping[str, Array]) -> dict[str, Any]:
    """Say what a layer is, by its class and by what it computed."""
    layer, shapes = network.layers[place], shapes_of(network.layers[place])
    output = output_of(layer)
    kinds = [each.__name__ for each in type(layer).__mro__ if each.__module__ in ("minnet.layers", "minnet.output")]
    x = arrays["x"] if place == 0 else arrays[output_name(network, place - 1)]
    linear = "W" in shapes and np.ndim(arrays[f"{place}.W"]) == 2 and x.shape[-1] == len(arrays[f"{place}.W"])
    if linear:
        z = x @ arrays[f"{place}.W"] + arrays.get(f"{place}.b", 0)
        linear = z.shape == arrays[f"{place}.{output}"].shape and np.allclose(
            z, arrays[f"{place}.{output}"], equal_nan=True
        )
    return {
        "name": one_line(described(layer)),
        "kind": kinds[0] if kinds else "",
        "output": output,
        "parameters": list(shapes),
        "linear": bool(linear),
        "slope": layer.slope if isinstance(layer, LeakyReLU) else None,
        "forward": summary(layer.forward),
        "backward": summary(layer.backward),
    }


def summary(function: Any) -> str:
    """Give the first line of a docstring, if there is one."""
    first = str(function.__doc__ or "").strip().partition("\n")[0]
    return one_line(first) if first else ""


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
    check_size(network, len(steps))
    recorder = type("Recorder", (Recorder, kind), {})(network, optimizer, dataset, max(steps) + 1, samples, prove=False)
    recorder.wanted, recorder.right = sorted(steps), right
    with np.errstate(all="ignore"):  # the page shows what is not finite, and the proof what is wrong
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
        return plain((value.astype(float) if value.dtype.kind == "f" else value).tolist())
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
