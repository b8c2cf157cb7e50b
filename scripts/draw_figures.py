"""Draw the figures of the derivation, docs/figures/*.svg, from computed numbers."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from figure_parts import (
    BACKWARD,
    BLUE,
    FORWARD,
    GAP,
    GREEN,
    INK,
    RED,
    arrow,
    box,
    caption,
    chart,
    draw_graph,
    draw_legend,
    heat,
    inputs,
    join,
    middle,
    name_columns,
    name_rows,
    power_of_ten,
    sheet,
    short,
    table,
    write,
)
from matplotlib import rc_context
from matplotlib.figure import Figure

from minnet import Linear, Network, ReLU, Sigmoid, Tanh, load_dataset
from minnet.lab.autodiff import Value, gradients
from minnet.lab.explain import tiny
from minnet.lab.long_way import Softmax
from minnet.lab.trace import trace

FOLDER = Path(__file__).parent.parent / "docs" / "figures"
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "minnet",  # the same bytes each time
    "font.family": "sans-serif",
}


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
    u = 2 * x
    v = x + 1
    C = u * v
    places = {
        x: ("x", 60, 108),
        u: ("u = 2 · x", 260, 165),
        v: ("v = x + 1", 260, 50),
        C: ("C = u · v", 460, 108),
    }
    draw_graph(axes, places, C)
    terms = []
    for value, slope in C.inputs:
        name, _, y = places[value]
        ((_, before),) = inputs(value, places)
        product = short(slope * before)
        text = f"by way of {name[0]}: {short(slope)} · {short(before)} = {product}"
        write(axes, 560, y, text, ha="left", **BACKWARD)
        terms.append(product)
    total = f"∂C/∂x: {' + '.join(terms)} = {short(gradients(C)[x])}"
    write(axes, 560, 108, total, ha="left", **BACKWARD, weight="bold")
    return figure


def tiny_step() -> dict[str, Any]:
    """Give every array of the tiny network's step."""
    network, _, dataset = tiny()
    return dict(trace(network, *dataset.train))


def two_layers() -> Figure:
    """Draw every number of a step of the tiny network."""
    figure, axes = sheet(425)
    found = tiny_step()
    x = table(axes, 45, 410, "x", found["x"])
    z1 = table(axes, 225, 410, "z₁ = x W₁ + b₁", found["0.z"])
    a = table(axes, 412, 410, "a = max(z₁, 0)", found["1.a"])
    z2 = table(axes, 578, 410, "z₂ = a W₂ + b₂", found["2.z"])
    y = table(axes, 754, 410, "y = softmax(z₂)", found["y"])
    for start, end in pairwise([x, z1, a, z2, y]):
        join(axes, start, end)
    W1 = table(axes, 118, 317, "W₁, b₁", found["0.W"], found["0.b"])
    W2 = table(axes, 485, 317, "W₂, b₂", found["2.W"], found["2.b"])
    for parameters in (W1, W2):
        place, _ = middle(parameters)
        arrow(axes, (place, parameters.y1 + 22), (place, middle(x)[1] - GAP))
    t = table(axes, 620, 277, "t", found["t"])
    C = box(axes, 754, 243, 100, 28)
    write(axes, 754, 243, f"C = {found['loss']:.4f}", 13, **FORWARD)
    arrow(axes, (754, y.y0 - GAP), (754, C.y1 + GAP))
    join(axes, t, C)
    dz2 = table(axes, 655, 60, "dz₂ = (y − t)/N", found["2.dz"], way=BACKWARD)
    da = table(axes, 425, 60, "da = dz₂ W₂ᵀ", found["1.da"], way=BACKWARD)
    dz1 = table(axes, 195, 60, "dz₁ = da · 1{z₁ > 0}", found["0.dz"], way=BACKWARD)
    arrow(axes, (745, C.y0 - GAP), (dz2.x1 - 70, dz2.y1 + 25), BACKWARD)
    join(axes, dz2, da, BACKWARD)
    join(axes, da, dz1, BACKWARD)
    dW2 = table(axes, 485, 197, "dW₂ = aᵀ dz₂, db₂", found["2.dW"], found["2.db"], way=BACKWARD)
    dW1 = table(axes, 118, 197, "dW₁ = xᵀ dz₁, db₁", found["0.dW"], found["0.db"], way=BACKWARD)
    arrow(axes, (dz2.x0 + 10, dz2.y1 + GAP), (dW2.x1 - 20, dW2.y0 - GAP), BACKWARD)
    arrow(axes, (dz1.x0 + 10, dz1.y1 + GAP), (dW1.x0 + 40, dW1.y0 - GAP), BACKWARD)
    return figure


def jacobian() -> Figure:
    """Draw the long way of one sample: a row of derivatives, times the Jacobian, is the row y − t."""
    figure, axes = sheet(205)
    found = tiny_step()
    softmax, t = Softmax(), found["t"][:1]
    y = softmax.forward(found["2.z"][:1])
    dy = -t / y
    of_y = [f"k = {name}" for name in "ABC"]
    of_z = [f"i = {name}" for name in "ABC"]
    sides = heat(axes, 10, 105, dy)
    name_columns(axes, sides, of_y)
    caption(axes, sides, "∂C/∂yₖ = −tₖ/yₖ", "1 × 3", 34)
    write(axes, 218, 90, "·", 24)
    sides = heat(axes, 282, 135, softmax.jacobian[0], 104)
    name_columns(axes, sides, of_z)
    name_rows(axes, sides, of_y)
    caption(axes, sides, "∂yₖ/∂zᵢ = yₖ (1{k = i} − yᵢ), the Jacobian", "3 × 3", 34)
    write(axes, 614, 90, "=", 20)
    sides = heat(axes, 638, 105, softmax.backward(dy))
    name_columns(axes, sides, of_z)
    caption(axes, sides, "∂C/∂zᵢ = yᵢ − tᵢ", "1 × 3", 34)
    return figure


def outer_products() -> Figure:
    """Draw the weight's gradient of the tiny network's last layer as the sum of a multiplication table a sample."""
    figure, axes = sheet(190)
    found = tiny_step()
    samples = zip(found["1.a"], found["2.dz"], strict=True)
    for n, (a, dz) in enumerate(samples, 1):
        left = 310 * n - 304
        row = heat(axes, left + 70, 160, dz[np.newaxis, :])
        column = heat(axes, left, 124, a[:, np.newaxis])
        product = heat(axes, left + 70, 124, np.outer(a, dz))
        caption(axes, row, f"dz₂, row {n}", "", 14)
        caption(axes, column, f"a, row {n}", "3 × 1", 50)
        caption(axes, product, "", "(3 × 1) · (1 × 3) = 3 × 3", 0)
    write(axes, 292, 79, "+", 22)
    write(axes, 602, 79, "=", 22)
    sides = heat(axes, 640, 124, found["2.dW"])
    caption(axes, sides, "dW₂ = aᵀ dz₂", "(3 × 2) · (2 × 3) = 3 × 3", 14)
    return figure


def squared_error() -> Figure:
    """Draw the gradient at the right class's logit, after softmax, of cross-entropy and of the squared error."""
    figure, axes = chart("logit of the right class − logit of the wrong one", "∂C/∂z of the right class")
    z = np.linspace(-10, 10, 401)
    t = np.array([[1, 0]])
    softmax = Softmax()
    y = softmax.forward(np.stack([z, 0 * z], axis=1))
    axes.plot(z, softmax.backward(-t / y)[:, 0], color=BLUE)
    axes.plot(z, softmax.backward(y - t)[:, 0], color=RED)
    name: Any = {"weight": "bold", "va": "center"}
    axes.text(-9.9, -0.94, "cross-entropy: y − t", color=BLUE, **name)
    axes.text(-9.9, -0.15, "squared error:\n(y − t) times the Jacobian", color=RED, **name)
    axes.text(-9.9, -0.5, "sure and wrong")
    axes.text(9.9, -0.5, "sure and right", ha="right")
    axes.set_xticks(range(-10, 11, 5))
    return figure


def vanishing() -> Figure:
    """Draw how large each layer's gradient is in networks of 20 hidden layers, before any training."""
    figure, axes = chart("layer, counted from the input", "norm of dW, geometric mean of 10 networks")
    layers = range(1, 22)
    curves = (ReLU, GREEN, 12), (Tanh, BLUE, 0.025), (Sigmoid, RED, 1e-8)
    for activation, color, height in curves:
        norms = gradient_norms(activation)
        mean = np.exp(np.log(norms).mean(axis=1))
        axes.fill_between(layers, norms.min(axis=1), norms.max(axis=1), color=color, alpha=0.15, linewidth=0)
        axes.semilogy(layers, mean, "o-", color=color, markersize=4)
        axes.text(12, height, activation.__name__, color=color, weight="bold", ha="center", va="center")
    axes.set_xticks([1, 5, 10, 15, 20, 21])
    axes.set_ylim(1e-13, 1e2)
    axes.yaxis.set_major_formatter(power_of_ten)
    return figure


def gradient_norms(activation: Callable[[], Any]) -> Any:
    """Measure the norm of dW of each linear layer, 20 hidden ones and the last, of 10 networks: an array (21, 10)."""
    hidden = [layer for _ in range(20) for layer in (Linear(64, 64), activation())]
    network = Network([*hidden, Linear(64, 10)], seed=range(10), dtype="float64")
    x, t = load_dataset("digits").train
    network.forward(x[:256], t[:256])
    network.backward()
    linear = [layer for layer in network.layers if isinstance(layer, Linear)]
    return np.stack([np.linalg.norm(layer.dW, axis=(-2, -1)) for layer in linear])


def difference_quotient() -> Figure:
    """Draw the errors of three approximations of one derivative against h, with what theory says of them."""
    figure, axes = chart("step h", "error of the slope f′(θ)")
    network, _, dataset = tiny()
    x, t, _ = network.check(*dataset.train)

    def f(step: Any) -> Any:
        theta = np.tile(network.theta, (len(step), 1)).astype(step.dtype)
        theta[:, 0] += step
        return network.at(theta).forward(x, t, False)

    h = np.logspace(-16, -1, 61)
    here = f(np.zeros(1)).item()
    exact = f(np.full(1, 1e-30j)).imag / 1e-30
    style: Any = {"markersize": 4, "linewidth": 1}
    name: Any = {"weight": "bold", "ha": "center", "va": "bottom"}
    one_sided = (f(h) - here) / h
    axes.loglog(h, abs(one_sided - exact), "o-", color=RED, **style)
    axes.text(1e-4, 6e-3, "(f(θ + h) − f(θ)) / h", color=RED, **name)
    central = (f(h) - f(-h)) / (2 * h)
    axes.loglog(h, abs(central - exact), "s-", color=GREEN, **style)
    axes.text(3e-11, 1e-9, "(f(θ + h) − f(θ − h)) / 2h", color=GREEN, **name)
    complex_step = f(1j * h).imag / h
    error = np.maximum(abs(complex_step - exact), 2e-17)  # 0 has no place on this axis
    axes.loglog(h, error, "^-", color=BLUE, **style)
    axes.text(1e-11, 8e-16, "Im f(θ + ih) / h, the complex step", color=BLUE, **name)
    axes.loglog(h, 2.0**-53 * here / h, ":", color=INK)
    axes.text(3e-13, 1e-2, "rounding alone, f / (2⁵³ h)", color=INK)
    axes.set_ylim(5e-18, 10)
    axes.xaxis.set_major_formatter(power_of_ten)
    axes.yaxis.set_major_formatter(power_of_ten)
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
