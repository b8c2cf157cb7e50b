"""What does a page show, what does it say of an entry, and is that so?"""

import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from playwright.sync_api import Locator, Page

from minnet.layers import Array

CELLS = """() => JSON.stringify([...document.querySelectorAll('table[role=grid]')].flatMap((table, map) => {
  const of = /sample (\\d+)/.exec(table.closest('figure')?.querySelector('figcaption')?.textContent)?.[1] ?? 1;
  const section = table.closest('section').id;
  const [right, away] = [table.dataset.version === 'right', Boolean(table.closest('[hidden]'))];
  return [...table.querySelectorAll('td[data-j]')].map((td, place) => {
    const { array, i, j } = td.dataset;
    const hidden = td.classList.contains('hidden');
    return [map, place, section, array, +i, j, right, away, td.textContent, td.ariaLabel, hidden, of - 1];
  });
}))"""

POINT = """(places) => {
  const cells = [...document.querySelectorAll('table[role=grid]')].map((table) => table.querySelectorAll('td[data-j]'));
  const lit = (which) => [...new Set([...document.querySelectorAll(`td.${which}`)].map(
    ({ dataset }) => `${dataset.array.replace('.exact', '')} ${dataset.i} ${dataset.j}`))];
  const sum = document.querySelector('#sum');
  return JSON.stringify(places.map(([map, place]) => {
    window.moved = (window.moved ?? 0) + 1;
    for (const kind of ['pointerover', 'pointermove']) {
      cells[map][place].dispatchEvent(new PointerEvent(kind, { bubbles: true, screenX: window.moved }));
    }
    const verdict = [...sum.querySelectorAll('.verdict')].map((each) => each.textContent).join(' ');
    return [sum.querySelector('.value').textContent, sum.querySelector('.written')?.textContent ?? '', verdict,
      sum.dataset.holds ?? '', lit('lit1'), lit('lit2')];
  }));
}"""

SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
POWER = re.compile(r"·10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)")

T = TypeVar("T")


class Cell(NamedTuple):
    """An entry as it stands on the page, in one of its maps."""

    map: int
    place: int
    section: str
    name: str
    i: int
    j: str
    right: bool
    away: bool
    text: str
    label: str
    hidden: bool
    sample: int


class Said(NamedTuple):
    """What the page says of an entry that is pointed at."""

    value: str
    written: str
    verdict: str
    holds: str
    first: list[str]
    second: list[str]


def number(text: str) -> float:
    """Read a number as the page writes it."""
    return float(
        POWER.sub(lambda power: "e" + power[1].translate(SUPERSCRIPTS), text).replace("−", "-").replace("∞", "inf")
    )


def shows(text: str, value: float, digits: int) -> bool:
    """Tell whether a text is a number rounded to so many digits."""
    shown = number(text)
    if not math.isfinite(value) or value == 0:
        return str(shown) == str(float(value) + 0.0)
    return abs(shown - value) <= 0.5001 * 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)


def calculated(written: str) -> tuple[float, float, float]:
    """Calculate a sum as it is written out: what it makes, what it says that it makes, and how large its parts are."""
    left, _, right = written.rpartition(" = ")
    code = POWER.sub(lambda power: "e" + power[1].translate(SUPERSCRIPTS), left)
    code = re.sub(r"\d+ (?:more|smaller) terms: ", "", code).replace("²", "**2").replace("−", "-").replace("·", "*")
    code = re.sub(r"1\{(.*?)\}", r"float(\1)", code)
    code = re.sub(r"log (\S+)", r"log(\1)", code)
    known = {"__builtins__": {}, "exp": math.exp, "log": math.log, "tanh": math.tanh, "max": max, "float": float}
    made, size = (eval(each, known) for each in (code, re.sub(r"(?<!e)-", "+", code)))  # noqa: S307 - the page's own sums
    return made, number(right), abs(size) + ("log" in code)


@dataclass
class Reader:
    """Who reads a page in a browser, and has seen the numbers that were recorded for it.

    Attributes
    ----------
    page : Page
        As the browser has it.
    content : dict
        What was recorded, as `Explanation.content` gives it.
    file : Path
        Where it is on disk.
    said : list of str
        What the browser said besides: messages, errors, dialogs, and requests.
    step, sample : int
        Which of the recorded steps is shown, and which sample is chosen.
    arrays : dict
        Those that were asked for.
    """

    page: Page
    content: dict[str, Any]
    file: Path
    said: list[str] = field(default_factory=list)
    step: int = 0
    sample: int = 0
    arrays: dict[tuple[int, str, str], Array] = field(default_factory=dict)

    def array(self, name: str, version: str = "arrays") -> Array:
        """Give an array that was recorded in the step that is shown."""
        known = (self.step, version, name)
        if known not in self.arrays:
            self.arrays[known] = numbers(self.content["steps"][self.step][version][name])
        return self.arrays[known]

    def look(self) -> None:
        """See which of the recorded steps is shown, and which sample is chosen."""
        self.step = int(self.page.locator("#step").input_value())
        self.sample = int(self.page.locator("[name=sample]").input_value())

    def choose(self, step: int | None = None, sample: int | None = None) -> None:
        """Move the slider to one of the recorded steps, and pick a sample."""
        if step is not None:
            self.page.locator("#step").fill(str(step))
        if sample is not None:
            self.page.locator("[name=sample]").select_option(str(sample))
        self.look()

    def entry(self, name: str, i: int, j: int) -> Locator:
        """Find an entry in the first map that shows it."""
        return self.page.locator(f'td[data-array="{name}"][data-i="{i}"][data-j="{j}"]').first

    def value(self, cell: Cell, array: Array | None = None) -> float:
        """Give the number that a cell is to show, of what was recorded, or of an array of that name."""
        version = "right" if cell.right else "arrays"
        if cell.name.endswith(".outer"):
            place = int(cell.name.split(".")[0])
            x, dz = (
                self.array("x" if place == 0 else self.output(place - 1)),
                self.array(self.output(place).replace(".", ".d")),
            )
            return float(x[cell.sample, cell.i] * dz[cell.sample, int(cell.j)])
        name = cell.name.removesuffix(".row")
        if name.endswith(".share"):
            array = self.array("weight", version) * self.array("y-t", version)
        elif array is None:
            array = self.array(name, version)
        if cell.name.endswith(".row"):
            total = array[cell.i].sum()
            return float(total) if abs(total) > 1e-9 else 0.0
        if cell.name == "jacobian":
            array = array[self.sample]
        return float(np.atleast_2d(array)[cell.i, int(cell.j)])

    def output(self, place: int) -> str:
        """Give the name of a layer's output."""
        return f"{place}.{self.content['layers'][place]['output']}"

    def facts(self, selector: str, key: str) -> dict[str, str]:
        """Give the texts of elements by what they are called, in one of their data- attributes."""
        script = "(all, key) => all.map((each) => [each.dataset[key], each.innerText])"
        return dict(self.page.locator(selector).evaluate_all(script, key))

    def cells(self) -> list[Cell]:
        """Give every entry of every map."""
        return [Cell(*cell) for cell in json.loads(self.page.evaluate(CELLS))]

    def point(self, cells: list[Cell]) -> list[Said]:
        """Point at entries, one after another."""
        return [
            Said(*said) for said in json.loads(self.page.evaluate(POINT, [[cell.map, cell.place] for cell in cells]))
        ]


def numbers(array: Any) -> Array:
    """Make an array of lists from JSON, in which strings stand for what is not finite."""
    return np.array(array, dtype=np.float64)


def changed(page: str, content: dict[str, Any]) -> str:
    """Put other numbers into a page."""
    data = json.dumps(content, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    start = page.index('id="data">') + len('id="data">')
    return page[:start] + data + page[page.index("</script>", start) :]


def some(cells: list[T], most: int, seed: int) -> list[T]:
    """Take some by chance."""
    return [cells[k] for k in np.random.default_rng(seed).permutation(len(cells))[:most]]
