"""Draw the figures of the derivation, docs/figures/*.svg, from computed numbers."""

from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.transforms import Bbox

from minnet import Linear, Network, ReLU, Sigmoid, Tanh, load_dataset
from minnet.lab.autodiff import Value, gradients
from minnet.lab.explain import tiny
from minnet.lab.long_way import Softmax
from minnet.lab.trace import trace

FOLDER = Path(__file__).parent.parent / "docs" / "figures"
STYLE: Any = {"svg.fonttype": "none", "font.family": "sans-serif", "svg.hashsalt": "minnet"}  # the same bytes each time
WIDTH = 840  # pixels, for which GitHub's page has room
INK, PAPER = "#24292f", "#f4f6f8"
FORWARD: dict[str, Any] = {"color": "#0b5cad", "weight": "bold"}  # and solid arrows
BACKWARD: dict[str, Any] = {"color": "#b03a06", "style": "italic"}  # and dashed arrows
BLUE, RED, GREEN = "#0b5cad", "#b03a06", "#1a7f37"  # of curves
SIDE = 43  # half a node's width

Point = tuple[float, float]


def sheet(height: int) -> tuple[Figure, Axes]:
    """Give an empty figure that is measured in pixels, from its lower left corner."""
    figure = Figure(figsize=(WIDTH / 96, height / 96))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def write(axes: Axes, x: float, y: float, text: str, size: float = 14, **style: Any) -> None:
    """Write a line of text with its middle at a point, its size in pixels."""
    style = {"color": INK, "ha": "center", "va": "center_baseline"} | style
    axes.text(x, y, text, size=0.75 * size, **style)


def box(axes: Axes, x: float, y: float, width: float, height: float) -> Bbox:
    """Draw a box with round corners around a point, and say where its sides are."""
    style: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=6", "facecolor": PAPER, "edgecolor": INK}
    sides = Bbox.from_bounds(x - width / 2, y - height / 2, width, height)
    axes.add_patch(FancyBboxPatch(sides.p0, width, height, **style))
    return sides


def arrow(axes: Axes, start: Point, end: Point, way: Mapping[str, Any] = FORWARD) -> None:
    """Draw an arrow: solid on the way forward, dashed on the way back."""
    style = {
        "arrowstyle": "-|>,head_width=0.25,head_length=0.5",
        "linestyle": "-" if way is FORWARD else (0, (4, 2)),
        "color": way["color"],
        "shrinkA": 0,
        "shrinkB": 0,
    }
    axes.annotate("", end, start, arrowprops=style)


def short(number: float) -> str:
    """Write a number as short as it is, with a true minus sign."""
    return f"{number:g}".replace("-", "−")


def edges(value: Value, places: Mapping[Value, Any]) -> Iterator[tuple[Value, float]]:
    """Give the values with a place that a value was computed from, and its slope with respect to each."""
    for each, slope in value.inputs:
        if each in places:
            yield each, slope
        else:
            yield from ((inner, slope * further) for inner, further in edges(each, places))


def draw_graph(axes: Axes, places: Mapping[Value, tuple[str, float, float]], output: Value) -> None:
    """Draw a computation as it is: nodes with their values and gradients, edges with their slopes."""
    found = gradients(output)
    for value, (name, x, y) in places.items():
        box(axes, x, y, 2 * SIDE, 30)
        write(axes, x, y, name)
        write(axes, x, y + 27, short(value.number), 15, **FORWARD)
        write(axes, x, y - 27, short(found[value]), 15, **BACKWARD)
        for i, (each, slope) in enumerate(edges(value, places)):
            _, left, height = places[each]
            rise = np.sign(y - height)
            away = (12, -12)[i] if rise == 0 else 0  # from the middle of a node, for one that goes in twice
            draw_edge(axes, (left + SIDE, height + 6 * rise + away), (x - SIDE, y - 7 * rise + away), slope, away > 0)


def draw_edge(axes: Axes, start: Point, end: Point, slope: float, label_above: bool) -> None:
    """Draw an edge: an arrow forward, one back below it, and the slope that the way back multiplies by."""
    along = np.subtract(end, start) / np.hypot(*np.subtract(end, start))
    across = np.array([-along[1], along[0]])
    (a, b), (c, d) = ((start + side * across + 3 * along, end + side * across - 3 * along) for side in (3.5, -3.5))
    arrow(axes, a, b)
    arrow(axes, d, c, BACKWARD)
    side, distance = {-1: ("right", -8), 0: ("center", -13), 1: ("left", -8)}[round(2 * along[1])]
    x, y = (c + d) / 2 + (20 if label_above else distance) * across
    text = f"× {short(slope)}" if slope >= 0 else f"× ({short(slope)})"
    write(axes, x, y, text, 12.5, **BACKWARD, ha=side)


def draw_legend(axes: Axes, x: float, y: float) -> None:
    """Say what the two colours mean."""
    arrow(axes, (x, y), (x + 40, y))
    write(axes, x + 52, y, "forward: each number's value", 13, **FORWARD, ha="left")
    arrow(axes, (x + 40, y - 24), (x, y - 24), BACKWARD)
    write(axes, x + 52, y - 24, "backward: its gradient, × each arrow's slope", 13, ha="left", **BACKWARD)


def graph() -> Figure:
    """Draw one unit with a squared error: four numbers are given, four computed."""
    figure, axes = sheet(345)
    x, w, b, t = map(Value, (3, 2, -1, 7))
    p = w * x
    z = p + b
    d = z - t
    C = d * d
    places = {
        x: ("x", 60, 290),
        w: ("w", 60, 170),
        p: ("p = w · x", 240, 230),
        b: ("b", 240, 110),
        z: ("z = p + b", 420, 170),
        t: ("t", 420, 50),
        d: ("d = z − t", 600, 110),
        C: ("C = d · d", 780, 110),
    }
    draw_graph(axes, places, C)
    draw_legend(axes, 470, 310)
    return figure


def paths() -> Figure:
    """Draw a number that goes two ways into the output."""
    figure, axes = sheet(215)
    x = Value(3)
    u, v = 2 * x, x + 1
    C = u * v
    places = {
        x: ("x", 60, 108),
        u: ("u = 2 · x", 260, 165),
        v: ("v = x + 1", 260, 50),
        C: ("C = u · v", 460, 108),
    }
    draw_graph(axes, places, C)
    through = {}
    for y, (each, after) in zip((165, 50), C.inputs, strict=True):
        ((_, before),) = edges(each, places)
        through[each] = after * before
        factors = f"{short(after)} · {short(before)} = {short(after * before)}"
        write(axes, 560, y, f"by way of {places[each][0][0]}: {factors}", ha="left", **BACKWARD)
    a, b = through.values()
    total = f"∂C/∂x: {short(a)} + {short(b)} = {short(gradients(C)[x])}"
    write(axes, 560, 108, total, ha="left", **BACKWARD, weight="bold")
    return figure


def entry(number: float) -> str:
    """Write a number in full if it is short, else with 4 decimals."""
    return short(number + 0.0) if number == round(number, 2) else f"{number:.4f}".replace("-", "−")


def table(axes: Axes, x: float, top: float, title: str, *arrays: Any, way: Mapping[str, Any] = FORWARD) -> Bbox:
    """Draw matrices below each other in a box, under a title; return the box's sides."""
    style = {**way, "weight": "normal"}
    texts = [[[entry(number) for number in row] for row in array] for array in arrays]
    longest = max(len(text) for array in texts for row in array for text in row)
    cell, columns = 6.7 * longest + 10, len(texts[0][0])
    height = 18 * sum(map(len, texts)) + 8 * len(texts)
    write(axes, x, top, title, 13, **{**way, "weight": "bold"})
    sides = box(axes, x, top - 12 - height / 2, cell * columns + 8, height)
    y = sides.y1 + 4
    for array in texts:
        for row in array:
            y -= 18
            for column, text in enumerate(row, 1):
                write(axes, sides.x0 + cell * column, y, text, 12, ha="right", **style)
        y -= 8
    return sides


def two_layers() -> Figure:
    """Draw every number of a step of the tiny network."""
    figure, axes = sheet(425)
    network, _, dataset = tiny()
    found = trace(network, *dataset.train)
    x = table(axes, 45, 410, "x", found["x"])
    z1 = table(axes, 225, 410, "z₁ = x W₁ + b₁", found["0.z"])
    a = table(axes, 412, 410, "a = max(z₁, 0)", found["1.a"])
    z2 = table(axes, 578, 410, "z₂ = a W₂ + b₂", found["2.z"])
    y = table(axes, 754, 410, "y = softmax(z₂)", found["y"])
    W1 = table(axes, 118, 317, "W₁, b₁", found["0.W"], found["0.b"])
    W2 = table(axes, 485, 317, "W₂, b₂", found["2.W"], found["2.b"])
    t = table(axes, 620, 277, "t", found["t"])
    C = box(axes, 754, 243, 100, 28)
    write(axes, 754, 243, f"C = {found['loss']:.4f}", 13, **FORWARD)
    dz2 = table(axes, 655, 60, "dz₂ = (y − t)/N", found["2.dz"], way=BACKWARD)
    da = table(axes, 425, 60, "da = dz₂ W₂ᵀ", found["1.da"], way=BACKWARD)
    dz1 = table(axes, 195, 60, "dz₁ = da · 1{z₁ > 0}", found["0.dz"], way=BACKWARD)
    dW2 = table(axes, 485, 197, "dW₂ = aᵀ dz₂, db₂", found["2.dW"], found["2.db"], way=BACKWARD)
    dW1 = table(axes, 118, 197, "dW₁ = xᵀ dz₁, db₁", found["0.dW"], found["0.db"], way=BACKWARD)
    middle = (x.y0 + x.y1) / 2
    for before, after in pairwise([x, z1, a, z2, y]):
        arrow(axes, (before.x1 + 3, middle), (after.x0 - 3, middle))
    for parameters in (W1, W2):
        place = (parameters.x0 + parameters.x1) / 2
        arrow(axes, (place, parameters.y1 + 22), (place, middle - 3))
    arrow(axes, (754, y.y0 - 3), (754, C.y1 + 3))
    arrow(axes, (t.x1 + 3, 243), (C.x0 - 3, 243))
    arrow(axes, (745, C.y0 - 3), (dz2.x1 - 70, dz2.y1 + 25), BACKWARD)
    for after, before in pairwise([dz2, da, dz1]):
        height = (before.y0 + before.y1) / 2
        arrow(axes, (after.x0 - 3, height), (before.x1 + 3, height), BACKWARD)
    arrow(axes, (dz2.x0 + 10, dz2.y1 + 3), (dW2.x1 - 20, dW2.y0 - 3), BACKWARD)
    arrow(axes, (dz1.x0 + 10, dz1.y1 + 3), (dW1.x0 + 40, dW1.y0 - 3), BACKWARD)
    return figure


def heat(axes: Axes, left: float, top: float, array: Any, cell: Point = (64, 30), titles: Any = ((), ())) -> Bbox:
    """Draw a matrix as cells, red above 0 and blue below, with its numbers; titles are those of columns and of rows."""
    (width, height), largest = cell, np.abs(array).max()
    for (row, column), number in np.ndenumerate(array):
        corner = left + width * column, top - height * (row + 1)
        color = colormaps["RdBu_r"](0.5 + 0.3 * number / largest)
        axes.add_patch(Rectangle(corner, width, height, facecolor=color, edgecolor="white"))
        write(axes, corner[0] + width / 2, corner[1] + height / 2, entry(number), 13)
    columns, rows = titles
    for i, text in enumerate(columns):
        write(axes, left + width * (i + 0.5), top + 12, text, 13)
    for i, text in enumerate(rows):
        write(axes, left - 8, top - height * (i + 0.5), text, 13, ha="right")
    tall, wide = array.shape
    return Bbox.from_extents(left, top - height * tall, left + width * wide, top)


def caption(axes: Axes, sides: Bbox, title: str, shape: str, room: float = 12) -> None:
    """Write a matrix's name above it, and its shape below it."""
    middle = (sides.x0 + sides.x1) / 2
    write(axes, middle, sides.y1 + room, title, 14, weight="bold")
    write(axes, middle, sides.y0 - 16, shape, 13)


def jacobian() -> Figure:
    """Draw the long way of one sample: a row of derivatives, times the Jacobian, is the row y − t."""
    figure, axes = sheet(205)
    network, _, dataset = tiny()
    found = trace(network, *dataset.train)
    softmax, t = Softmax(), found["t"][:1]
    y = softmax.forward(found["2.z"][:1])
    dy = -t / y
    classes = "ABC"
    row = 105
    sides = heat(axes, 10, row, dy, titles=([f"k = {k}" for k in classes], ()))
    caption(axes, sides, "∂C/∂yₖ = −tₖ/yₖ", "1 × 3", 34)
    write(axes, 218, row - 15, "·", 24)
    titles = [f"i = {i}" for i in classes], [f"k = {k}" for k in classes]
    sides = heat(axes, 282, row + 30, softmax.jacobian[0], (104, 30), titles)
    caption(axes, sides, "∂yₖ/∂zᵢ = yₖ (1{k = i} − yᵢ), the Jacobian", "3 × 3", 34)
    write(axes, 614, row - 15, "=", 20)
    sides = heat(axes, 638, row, softmax.backward(dy), titles=(titles[0], ()))
    caption(axes, sides, "∂C/∂zᵢ = yᵢ − tᵢ", "1 × 3", 34)
    return figure


def outer_products() -> Figure:
    """Draw the weight's gradient of the tiny network's last layer as the sum of a multiplication table a sample."""
    figure, axes = sheet(190)
    network, _, dataset = tiny()
    found = trace(network, *dataset.train)
    a, dz, dW = found["1.a"], found["2.dz"], found["2.dW"]
    for n, left in enumerate((6, 316)):
        row = heat(axes, left + 70, 160, dz[n : n + 1])
        column = heat(axes, left, 124, a[n : n + 1].T)
        product = heat(axes, left + 70, 124, np.outer(a[n], dz[n]))
        caption(axes, row, f"dz₂, row {n + 1}", "", 14)
        caption(axes, column, f"a, row {n + 1}", "3 × 1", 50)
        caption(axes, product, "", "(3 × 1) · (1 × 3) = 3 × 3")
        write(axes, product.x1 + 24, 79, "+="[n], 22)
    sides = heat(axes, 640, 124, dW)
    caption(axes, sides, "dW₂ = aᵀ dz₂", "(3 × 2) · (2 × 3) = 3 × 3", 14)
    return figure


def chart(x: str, y: str) -> tuple[Figure, Axes]:
    """Give an empty chart with the names of its axes."""
    figure = Figure(figsize=(WIDTH / 96, 340 / 96), layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    return figure, axes


def power_of_ten(number: float, _: float) -> str:
    """Write 0.01 as 10⁻²."""
    return "10" + str(round(np.log10(number))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def vanishing() -> Figure:
    """Draw how large each layer's gradient is in networks of 20 hidden layers, before any training."""
    figure, axes = chart("layer, counted from the input", "norm of dW, geometric mean of 10 networks")
    x, t = load_dataset("digits").train
    for activation, color in ((ReLU, GREEN), (Tanh, BLUE), (Sigmoid, RED)):
        norms = gradient_norms(activation, x[:256], t[:256])
        layers = np.arange(1, len(norms) + 1)
        axes.fill_between(layers, norms.min(axis=1), norms.max(axis=1), color=color, alpha=0.15, linewidth=0)
        axes.semilogy(layers, np.exp(np.log(norms).mean(axis=1)), "o-", color=color, markersize=4)
        place = (12, {"ReLU": 12, "Tanh": 0.025, "Sigmoid": 1e-8}[activation.__name__])
        axes.text(*place, activation.__name__, color=color, weight="bold", ha="center", va="center")
    axes.set_xticks([1, 5, 10, 15, 20, 21], ["1", "5", "10", "15", "20", "21"])
    axes.set_ylim(1e-13, 1e2)
    axes.yaxis.set_major_formatter(power_of_ten)
    return figure


def gradient_norms(activation: Callable[[], Any], x: Any, t: Any) -> Any:
    """Measure the norm of dW of each linear layer, 20 hidden ones and the last, of 10 networks: an array (21, 10)."""
    hidden = [layer for _ in range(20) for layer in (Linear(64, 64), activation())]
    network = Network([*hidden, Linear(64, 10)], seed=range(10), dtype="float64")
    network.forward(x, t)
    network.backward()
    return np.stack([np.linalg.norm(layer.dW, axis=(-2, -1)) for layer in network.layers if isinstance(layer, Linear)])


def squared_error() -> Figure:
    """Draw the gradient at the right class's logit, behind softmax, of cross-entropy and of the squared error."""
    figure, axes = chart("logit of the right class, above that of the only other one", "∂C/∂z of the right class")
    z = np.linspace(-10, 10, 401)
    t = np.eye(2)[np.zeros(len(z), int)]
    softmax = Softmax()
    y = softmax.forward(np.stack([z, 0 * z], axis=1))
    for gradient, color, text, place in (
        (softmax.backward(-t / y), BLUE, "cross-entropy: y − t", (-9.9, -0.94)),
        (softmax.backward(y - t), RED, "squared error:\n(y − t) times the Jacobian", (-9.9, -0.15)),
    ):
        axes.plot(z, gradient[:, 0], color=color)
        axes.text(*place, text, color=color, weight="bold", va="center")
    axes.set_xticks(range(-10, 11, 5))
    axes.text(-9.9, -0.5, "sure and wrong")
    axes.text(9.9, -0.5, "sure and right", ha="right")
    return figure


def difference_quotient() -> Figure:
    """Draw the errors of three approximations of one derivative against h, with what theory says of them."""
    figure, axes = chart("step h", "error of ∂C/∂W₁₁")
    network, _, dataset = tiny()
    x, t, _ = network.check(*dataset.train)

    def C(step: Any) -> Any:
        theta = np.repeat(network.theta[np.newaxis], len(step), axis=0).astype(step.dtype)
        theta[:, 0] += step
        return network.at(theta).forward(x, t, False)

    h = np.logspace(-16, -1, 61)
    exact = (C(1e-30j * np.ones(1)).imag / 1e-30).item()
    here = C(np.zeros(1)).item()
    for quotient, color, marker, place, text in (
        ((C(h) - here) / h, RED, "o", (1e-4, 6e-3), "(f(θ + h) − f(θ)) / h"),
        ((C(h) - C(-h)) / (2 * h), GREEN, "s", (3e-11, 1e-9), "(f(θ + h) − f(θ − h)) / 2h"),
        (C(1j * h).imag / h, BLUE, "^", (1e-11, 8e-16), "Im f(θ + ih) / h, the complex step"),
    ):
        error = np.maximum(np.abs(quotient - exact), 2e-17)  # 0 has no place on this axis
        axes.loglog(h, error, color=color, marker=marker, markersize=4, linewidth=1)
        axes.text(*place, text, color=color, weight="bold", ha="center", va="bottom")
    axes.loglog(h, 2.0**-53 * here / h, ":", color=INK)
    axes.text(3e-13, 1e-2, "rounding alone, f / (2⁵³ h)", color=INK)
    axes.set_ylim(5e-18, 10)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(power_of_ten)
    return figure


FIGURES: dict[str, Callable[[], Figure]] = {
    "graph": graph,
    "paths": paths,
    "two-layers": two_layers,
    "jacobian": jacobian,
    "outer-products": outer_products,
    "squared-error": squared_error,
    "vanishing": vanishing,
    "difference-quotient": difference_quotient,
}


def main() -> None:
    """Write each figure into its file."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in FIGURES.items():
        with rc_context(STYLE):
            draw().savefig(FOLDER / f"{name}.svg", metadata={"Date": None, "Creator": None})
        print(f"docs/figures/{name}.svg")


if __name__ == "__main__":
    main()
