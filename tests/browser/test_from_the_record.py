"""Does every number on the page come from the arrays that were recorded?"""

import copy
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.conftest import Read, Written
from tests.browser.reader import Cell, Reader, changed, shows, some

SCALARS = {"loss", "loss_after", "loss_change", "tolerance"}
UNSEEN = {"row", "raw"}  # that the samples are named by; that is shown only where it differs from x
OTHER = 0.7071  # what one entry is changed by


@pytest.fixture
def rewritten(pages: Callable[[str], Written], tmp_path: Path) -> Callable[[str, dict[str, Any]], Written]:
    """Write a page with other numbers in it."""
    count = itertools.count()

    def write(name: str, content: dict[str, Any]) -> Written:
        file = tmp_path / f"{next(count)}.html"
        file.write_text(changed(pages(name)[0].read_text("utf-8"), content), "utf-8")
        return file, content

    return write


Place = tuple[str, str, int, str, int]


def shown(reader: Reader) -> dict[Place, Cell]:
    """Give the entries by where they are: the section, the name, and how often it was there before."""
    found = dict[Place, Cell]()
    for cell in reader.cells():
        places = ((cell.section, cell.name, cell.i, cell.j, k) for k in itertools.count())
        found[next(place for place in places if place not in found)] = cell
    return found


@pytest.mark.parametrize("name", ["tiny", "digits", "tiny bug"])
def test_where_each_entry_has_a_number_of_its_own_each_is_where_it_belongs(
    read: Read, pages: Callable[[str], Written], rewritten: Callable[..., Written], name: str
) -> None:
    content = copy.deepcopy(pages(name)[1])
    content["steps"] = content["steps"][:2]
    new = map(float, itertools.count(1001))

    def renumbered(array: Any) -> Any:
        return [*map(renumbered, array)] if isinstance(array, list) else next(new)

    for step in content["steps"]:
        for version in ("arrays", "right"):
            step[version] = {each: renumbered(array) for each, array in step[version].items()}
    reader = read(rewritten(name, content))
    for step in (0, 1):
        reader.choose(step, 1)
        cells = reader.cells()
        for cell in cells:
            assert shows(cell.label.rpartition(": ")[2], reader.value(cell), 6), cell
            assert cell.text == "" or shows(cell.text, reader.value(cell), 4), cell
        seen = {cell.name for cell in cells} | SCALARS | {"row"}
        assert [each for each in content["steps"][step]["arrays"] if each not in seen and "error" not in each] == []
        facts = reader.facts("[data-fact]", "fact")
        for fact, array in {"before": "loss", "after": "loss_after", "predicted": "loss_change"}.items():
            assert shows(facts[fact], float(reader.array(array)), 6)
        verdicts = reader.facts("#proof tr[data-array]", "array")
        for each, verdict in verdicts.items():
            assert shows(verdict.removesuffix("✗ wrong").split()[-1], float(reader.array(f"{each}.error")), 2)
        where = reader.page.locator("#where").inner_text()
        assert shows(where.split()[-1], float(reader.array("loss")), 4)
        words = reader.page.locator("[name=sample] option:checked").inner_text()
        assert words.endswith(f"row {reader.array('row')[1, 0]:.0f}")


def test_one_entry_changed_is_one_entry_changed_on_the_page_and_sums_that_no_longer_hold_are_marked(
    read: Read, pages: Callable[[str], Written], rewritten: Callable[..., Written]
) -> None:
    reader = read("tiny")
    before = shown(reader)
    lit = dict(zip(before, reader.point([*before.values()]), strict=True))
    assert {said.holds for said in lit.values()} == {"", "true"}
    content = pages("tiny")[1]
    names = [name for name, array in content["steps"][0]["arrays"].items() if np.ndim(array) > 0 and name not in UNSEEN]
    assert len(names) > 30
    marked = 0
    for name in names:
        other = copy.deepcopy(content)
        array = other["steps"][0]["arrays"][name]
        while isinstance(array[0], list):
            array = array[0]
        array[0] += OTHER
        of_this = {at for at, cell in before.items() if (cell.name, cell.i, cell.j) == (name, 0, "0")}
        assert of_this, f"{name} is shown nowhere"
        made_of_it = {at for at, said in lit.items() if f"{name} 0 0" in said.first + said.second}
        reader.file, reader.content = rewritten("tiny", other)
        reader.arrays.clear()
        reader.page.goto(reader.file.as_uri())
        reader.said.remove(f"request: {reader.file.as_uri()}")
        after = shown(reader)
        different = {at for at in before if after[at].text != before[at].text}
        products = {at for at in before if before[at].name.endswith((".outer", ".row"))}
        assert of_this <= different <= of_this | products, name
        for at in different:
            assert shows(after[at].text, reader.value(after[at]), 4), (name, after[at])
        looked_at = {at: after[at] for at in (of_this | made_of_it | different | {*some([*before], 60, marked)})}
        said = dict(zip(looked_at, reader.point([*looked_at.values()]), strict=True))
        if name.endswith(".exact"):
            assert all("✗ They differ." in said[at].verdict for at in of_this)
        false = {at for at, each in said.items() if each.holds == "false"}
        asked = {at for at in of_this if lit[at].holds}
        exact = {at for at in before if before[at].name == f"{name}.exact"}
        assert asked <= false <= asked | made_of_it | exact, name
        assert all("✗ This makes" in said[at].verdict for at in false)
        marked += len(false)
        others = made_of_it - asked
        assert not others or false & others, f"what is made of {name} is not marked"
    assert marked > 100


def test_an_entry_changed_in_one_step_is_changed_in_that_step_only(
    read: Read, pages: Callable[[str], Written], rewritten: Callable[..., Written]
) -> None:
    content = copy.deepcopy(pages("iris")[1])
    names = ("0.W", "2.z", "2.dW", "y-t")
    for step, name in enumerate(names):
        content["steps"][step]["arrays"][name][1][2] += OTHER
    reader, old = read(rewritten("iris", content)), read("iris")
    for step in range(4):
        reader.choose(step)
        old.choose(step)
        for name in names:
            new, was = (each.entry(name, 1, 2).inner_text() for each in (reader, old))
            assert (new != was) == (name == names[step])
            assert shows(new, reader.array(name)[1, 2], 4)
