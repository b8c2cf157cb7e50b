"""What are the derivation's figures made of? Boxes and arrows on a sheet, matrices of numbers, and charts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.transforms import Bbox

from minnet.lab.autodiff import Value, gradients

Style = Mapping[str, Any]
Point = tuple[float, float]
Places = Mapping[Value, tuple[str, float, float]]

WIDTH = 840  # pixels, for which GitHub's page has room
INK, PAPER = "#24292f", "#f4f6f8"
BLUE, RED, GREEN = "#0b5cad", "#b03a06", "#1a7f37"
FORWARD: Style = {"color": BLUE, "weight": "bold"}  # and solid arrows
BACKWARD: Style = {"color": RED, "style": "italic"}  # and dashed arrows
NODE = 43, 15  # half the width and half the height of a node
GAP = 3  # between a box and an arrow's end


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
    left, bottom = x - width / 2, y - height / 2
    sides = Bbox.from_bounds(left, bottom, width, height)
    patch = FancyBboxPatch(
        (left, bottom),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=6",
        facecolor=PAPER,
        edgecolor=INK,
    )
    axes.add_patch(patch)
    return sides


def arrow(axes: Axes, start: Point, end: Point, way: Style = FORWARD) -> None:
    """Draw an arrow: solid on the way forward, dashed on the way back."""
    style = {
        "arrowstyle": "-|>,head_width=0.25,head_length=0.5",
        "linestyle": "-" if way is FORWARD else (0, (4, 2)),
        "color": way["color"],
        "shrinkA": 0,
        "shrinkB": 0,
    }
    axes.annotate("", end, start, arrowprops=style)


def join(axes: Axes, start: Bbox, end: Bbox, way: Style = FORWARD) -> None:
    """Draw a level arrow from one box to another one beside it."""
    _, height = middle(end)
    tail, tip = start.x1 + GAP, end.x0 - GAP
    if end.x1 < start.x0:
        tail, tip = start.x0 - GAP, end.x1 + GAP
    arrow(axes, (tail, height), (tip, height), way)


def middle(sides: Bbox) -> Point:
    """Give the point in the middle of a box."""
    x = (sides.x0 + sides.x1) / 2
    y = (sides.y0 + sides.y1) / 2
    return x, y


def short(number: float) -> str:
    """Write a number as short as it is, with a true minus sign."""
    return f"{number:g}".replace("-", "−")


def entry(number: float) -> str:
    """Write a number in full if it is short, else with 4 decimals."""
    if number == round(number, 2):
        return short(number + 0.0)  # which makes -0 a 0
    return f"{number:.4f}".replace("-", "−")


def inputs(value: Value, places: Places) -> Iterator[tuple[Value, float]]:
    """Give the values with a place that a value was computed from, and its slope with respect to each."""
    for each, slope in value.inputs:
        if each in places:
            yield each, slope
            continue
        for inner, further in inputs(each, places):
            yield inner, slope * further


def draw_graph(axes: Axes, places: Places, output: Value) -> None:
    """Draw a computation as it is: nodes with their values and gradients, edges with their slopes."""
    found = gradients(output)
    width, height = NODE
    for value, (name, x, y) in places.items():
        box(axes, x, y, 2 * width, 2 * height)
        write(axes, x, y, name)
        write(axes, x, y + 27, short(value.number), 15, **FORWARD)
        write(axes, x, y - 27, short(found[value]), 15, **BACKWARD)
        before = list(inputs(value, places))
        twice = len(before) == 2 and before[0] == before[1]
        for i, (each, slope) in enumerate(before):
            _, left, level = places[each]
            rise = np.sign(y - level)
            away = (12, -12)[i] if twice else 0  # from the nodes' middle
            start = left + width, level + 6 * rise + away
            end = x - width, y - 7 * rise + away
            draw_edge(axes, start, end, slope, label_above=away > 0)


def draw_edge(axes: Axes, start: Point, end: Point, slope: float, label_above: bool) -> None:
    """Draw an edge: an arrow forward, one back below it, and the slope that the way back multiplies by."""
    way = np.subtract(end, start)
    along = way / np.hypot(*way)
    across = np.array([-along[1], along[0]])
    tail, tip = start + GAP * along, end - GAP * along
    side = 3.5 * across
    arrow(axes, tuple(tail + side), tuple(tip + side))
    arrow(axes, tuple(tip - side), tuple(tail - side), BACKWARD)
    if label_above:
        align, distance = "center", 20
    elif along[1] == 0:
        align, distance = "center", -13
    else:
        align, distance = ("left" if along[1] > 0 else "right"), -8
    x, y = (tail + tip) / 2 - side + distance * across
    factor = short(slope) if slope >= 0 else f"({short(slope)})"
    write(axes, x, y, f"× {factor}", 12.5, **BACKWARD, ha=align)


def draw_legend(axes: Axes, x: float, y: float) -> None:
    """Say what the two colours mean."""
    arrow(axes, (x, y), (x + 40, y))
    write(axes, x + 52, y, "forward: each number's value", 13, **FORWARD, ha="left")
    y -= 24
    arrow(axes, (x + 40, y), (x, y), BACKWARD)
    write(axes, x + 52, y, "backward: its gradient, × each arrow's slope", 13, **BACKWARD, ha="left")


def table(axes: Axes, x: float, top: float, title: str, *arrays: Any, way: Style = FORWARD) -> Bbox:
    """Draw matrices below each other in a box, under a title; return the box's sides."""
    rows = np.concatenate(arrays)
    longest = max(len(entry(number)) for number in rows.flat)
    cell = 6.7 * longest + 10
    width = cell * rows.shape[1] + 8
    height = 18 * len(rows) + 8 * len(arrays)
    bold, plain = ({**way, "weight": weight} for weight in ("bold", "normal"))
    write(axes, x, top, title, 13, **bold)
    sides = box(axes, x, top - 12 - height / 2, width, height)
    y = sides.y1 + 4
    for array in arrays:
        for row in array:
            y -= 18
            for column, number in enumerate(row, 1):
                right = sides.x0 + cell * column
                write(axes, right, y, entry(number), 12, **plain, ha="right")
        y -= 8
    return sides


def heat(axes: Axes, left: float, top: float, array: Any, width: float = 64) -> Bbox:
    """Draw a matrix as cells of a width, red above 0 and blue below, with its numbers; return its sides."""
    height = 30
    largest = np.abs(array).max()
    for (row, column), number in np.ndenumerate(array):
        x, y = left + width * column, top - height * (row + 1)
        color = colormaps["RdBu_r"](0.5 + 0.3 * number / largest)
        cell = Rectangle((x, y), width, height, facecolor=color, edgecolor="white")
        axes.add_patch(cell)
        write(axes, x + width / 2, y + height / 2, entry(number), 13)
    rows, columns = array.shape
    bottom = top - height * rows
    right = left + width * columns
    return Bbox.from_extents(left, bottom, right, top)


def name_columns(axes: Axes, sides: Bbox, names: Sequence[str]) -> None:
    """Write the names of a matrix's columns above them."""
    width = sides.width / len(names)
    for i, name in enumerate(names):
        x = sides.x0 + width * (i + 0.5)
        write(axes, x, sides.y1 + 12, name, 13)


def name_rows(axes: Axes, sides: Bbox, names: Sequence[str]) -> None:
    """Write the names of a matrix's rows beside them."""
    height = sides.height / len(names)
    for i, name in enumerate(names):
        y = sides.y1 - height * (i + 0.5)
        write(axes, sides.x0 - 8, y, name, 13, ha="right")


def caption(axes: Axes, sides: Bbox, title: str, shape: str, room: float) -> None:
    """Write a matrix's name above it, and its shape below it."""
    x, _ = middle(sides)
    write(axes, x, sides.y1 + room, title, 14, weight="bold")
    write(axes, x, sides.y0 - 16, shape, 13)


def chart(x: str, y: str) -> tuple[Figure, Axes]:
    """Give an empty chart with the names of its axes."""
    figure = Figure(figsize=(WIDTH / 96, 340 / 96), layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    return figure, axes


def power_of_ten(number: float, _: float) -> str:
    """Write 0.01 as 10⁻²."""
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    return "10" + str(round(np.log10(number))).translate(raised)
