"""How does a step read in a terminal? Matrix by matrix, in the order in which data flows, with blanks to fill in."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from minnet.lab.explain import Explanation
from minnet.lab.record import Step
from minnet.layers import Array
from minnet.support.text import printable, shortened

ROWS, COLUMNS = 8, 10  # of a matrix that is printed whole
BLANK = "____"


def walk(explained: Explanation, show: bool = False, color: bool = False, width: int = 120) -> list[str]:
    """Print the recorded steps with their numbers.

    Parameters
    ----------
    explained : Explanation
        What it hides is left blank.
    show : bool, default False
        Whether to fill the blanks in, each number in brackets.
    color : bool, default False
        Whether a terminal reads it.
    width : int, default 120
        Of the lines.

    Returns
    -------
    list of str
        Lines.
    """
    from rich.console import Console

    paper = io.StringIO()
    console = Console(file=paper, width=width, force_terminal=color, highlight=False, emoji=False, markup=False)
    for step in explained.steps:
        Walk(explained, step, console, show).all()
    return [line.rstrip() for line in paper.getvalue().splitlines()]


class Walk:
    """The walk through one step.

    Parameters
    ----------
    explained, show
        As `walk` takes them.
    step : Step
        Which one.
    console : rich.console.Console
        Where it is printed.
    """

    def __init__(self, explained: Explanation, step: Step, console: Any, show: bool) -> None:
        self.explained, self.step, self.console, self.show = explained, step, console, show
        self.arrays, self.about = step.arrays, explained.about
        self.last = len(explained.layers) - 1

    def all(self) -> None:
        """Go forward, and back again."""
        network = " → ".join(layer["name"] for layer in self.explained.layers)
        self.say(f"{self.explained.title}, step {self.step.number}: {network} → {self.about['output']}")
        self.the_batch()
        for place in range(self.last + 1):
            self.forward(place)
        self.at_the_output()
        for place in reversed(range(self.last + 1)):
            self.backward(place)
        self.update()
        self.proof()

    def the_batch(self) -> None:
        """Print samples and targets."""
        features, names = (self.about[f"{what}_names"] for what in ("feature", "class"))
        classes = [names[k] for k in self.arrays["t"].argmax(axis=1)]
        self.heading("the batch", f"{len(classes)} samples of the classes {listed(classes)}")
        self.say(f"  columns of x: {listed(features)}; of t: {listed(names)}")
        raw = self.arrays.get("raw")
        if raw is not None and not np.array_equal(raw, self.arrays["x"]):
            self.say("  raw is as the data have it, x standardised")
            self.matrices("raw")
        self.matrices("x", "t")

    def forward(self, place: int) -> None:
        """Print what a layer computes."""
        layer = self.explained.layers[place]
        self.heading(f"forward, layer {place}, {layer['name']}", layer["forward"])
        of_layer = [f"{place}.{name}" for name in (*layer["parameters"], layer["output"])]
        self.matrices(self.name_of_input(place), *of_layer)

    def at_the_output(self) -> None:
        """Print the way from the logits to y − t."""
        last, back = self.name_of_output(self.last), self.name_of_output(self.last, "d")
        self.heading("the output", "y = softmax(z); each sample's loss is −Σ t log y, and C their mean")
        self.matrices(last, *(name for name in ("shifted", "exp", "sum") if name in self.arrays), "y", "t", "losses")
        self.say(f"C = {self.number('loss', self.arrays['loss'])}")
        self.heading(
            "y − t", "the gradient of a sample's loss at its logits; dz is it, times the weight 1/N in the mean"
        )
        self.matrices("y", "t", "y-t", back)
        if self.arrays["y"].shape[1] <= 4:
            self.say("the long way, sample by sample: −t/y, times softmax's Jacobian, is y − t again")
            for n, jacobian in enumerate(self.arrays["jacobian"]):
                rows = {name: self.arrays[name][n : n + 1] for name in ("dy", "product")}
                self.print({"dy": rows["dy"], "jacobian": jacobian, "product": rows["product"]})

    def backward(self, place: int) -> None:
        """Print the gradients that a layer computes of what it is given."""
        layer = self.explained.layers[place]
        self.heading(f"backward, layer {place}, {layer['name']}", layer["backward"])
        x, dx = self.name_of_input(place), self.name_of_output(place - 1, "d") if place else "dx"
        if place:
            self.say(f"  here the layer's input is {x}, and the gradient at it {dx}")
        used = [f"{place}.{name}" for name in layer["parameters"] if name not in ("b", "beta")]
        self.matrices(self.name_of_output(place, "d"), x, *used)
        self.matrices(*(f"{place}.d{name}" for name in layer["parameters"]), dx)

    def update(self) -> None:
        """Print how the optimizer moves each parameter, and the loss."""
        if "loss_after" not in self.arrays:
            return
        self.heading("the update", self.about["optimizer"])
        for place, layer in enumerate(self.explained.layers):
            for name in layer["parameters"]:
                key = f"{place}.{name}"
                state = [each for each in self.arrays if each.startswith(f"{key}.") and each != f"{key}.new"]
                self.matrices(key, f"{place}.d{name}", *state, f"{key}.new")
        losses = {name: self.number(name, self.arrays[name]) for name in ("loss", "loss_change", "loss_after")}
        self.say("loss before {loss}; to first order it changes by {loss_change}; after {loss_after}".format(**losses))

    def proof(self) -> None:
        """Print how far each gradient is from a complex step's."""
        self.heading("the proof", "the largest gradient by the backward pass, by complex steps, and the largest error")
        for name, error in self.arrays.items():
            if name.endswith(".error"):
                own = name.removesuffix(".error")
                largest = [np.abs(self.arrays[each]).max() for each in (own, f"{own}.exact")]
                verdict = "WRONG" if error > self.about["tolerance"] else "ok" if error >= 0 else "nothing to compare"
                numbers = "  ".join(f"{self.number(own, each):>10}" for each in largest)
                self.say(f"{own:16}  {numbers}  {float(error):8.1e}  {verdict}")
        self.say("")

    def name_of_output(self, place: int, gradient: str = "") -> str:
        """Give the name of a layer's output, or of the gradient at it."""
        return f"{place}.{gradient}{self.explained.layers[place]['output']}"

    def name_of_input(self, place: int) -> str:
        """Give the name of a layer's input."""
        return self.name_of_output(place - 1) if place else "x"

    def say(self, line: str) -> None:
        """Print a line, and nothing of names in it that a terminal would obey."""
        self.console.print(printable(line))

    def heading(self, title: str, about: str) -> None:
        """Print a heading, and a line about what follows."""
        self.console.print()
        self.console.print(printable(title), style="bold")
        if about:
            self.console.print(printable(f"  {about}"), style="dim")

    def matrices(self, *names: str) -> None:
        """Print arrays side by side; where a mistake changed one, the right one beside it."""
        shown = dict[str, Array]()
        for name in names:
            if name in self.arrays:
                shown[name] = array = self.arrays[name]
                right = self.step.right.get(name, array)
                if right.shape == array.shape and not np.allclose(right, array, rtol=1e-9, atol=0, equal_nan=True):
                    shown[f"{name}, right"] = right
        self.print(shown)

    def print(self, arrays: dict[str, Array]) -> None:
        """Print arrays side by side, as many as there is room for."""
        from rich.columns import Columns
        from rich.padding import Padding

        self.console.print(
            Padding(Columns([self.matrix(*each) for each in arrays.items()], padding=(0, 3)), (0, 0, 0, 2))
        )

    def matrix(self, name: str, array: Array) -> Any:
        """Lay out one array, under its name and shape; of a large one the first rows and columns."""
        from rich.table import Table
        from rich.text import Text

        rows, columns = np.atleast_2d(array).shape
        grid, decimals = Table.grid(padding=(0, 1)), decimals_of(array)
        for _ in range(min(columns, COLUMNS) + (columns > COLUMNS)):
            grid.add_column(justify="right")
        for row in np.atleast_2d(array)[:ROWS]:
            grid.add_row(*(self.number(name, entry, decimals) for entry in row[:COLUMNS]), *["…"] * (columns > COLUMNS))
        if rows > ROWS:
            grid.add_row("…")
        outer = Table.grid()
        outer.add_row(Text(f"{name}  {rows}×{columns}", style="cyan"))
        outer.add_row(grid)
        return outer

    def number(self, name: str, value: Any, decimals: int = 4) -> str:
        """Format a number, unless it is to be found out."""
        hidden = name.removesuffix(", right") in self.about["hidden"]
        if hidden and not self.show:
            return BLANK
        text = figure(float(value), decimals)
        return f"[{text}]" if hidden else text


def listed(names: Sequence[str]) -> str:
    """List names as one line, of many the first ones."""
    few = [printable(shortened(name, 30)) for name in names[:COLUMNS]]
    return ", ".join(few) + ("" if len(few) == len(names) else f", … ({len(names)} in all)")


def decimals_of(array: Array) -> int:
    """Find out how many decimals tell all of an array, if two do; else four."""
    return next((d for d in range(3) if np.allclose(np.round(array, d), array, rtol=0, atol=1e-9)), 4)


def figure(value: float, decimals: int) -> str:
    """Write a number as short as it can be read."""
    plain = value == 0 or 1e-3 <= abs(value) < 1e5
    return (f"{value + 0:.{decimals}f}" if plain else f"{value:.2e}").replace("-", "−")
