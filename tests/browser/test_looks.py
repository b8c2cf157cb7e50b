"""Can the page be read on a telephone, in light and in dark, and by those who do not see it?"""

import itertools
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import COMMANDS, Read
from tests.browser.reader import Reader

NARROW, WIDE = 380, 1200
LOOKS: tuple[Literal["light", "dark"], ...] = ("light", "dark")
THIN = """(most) => {
  for (const table of document.querySelectorAll('table[role=grid]')) {
    for (const row of [...table.rows].slice(most)) row.remove();
    for (const row of table.rows) for (const cell of [...row.cells].slice(most)) cell.remove();
  }
}"""


def open_all(reader: Reader) -> None:
    """Open all that can be opened, and point at an entry."""
    reader.page.locator("#long-way").check()
    reader.page.locator("#hide summary").click()
    reader.page.locator("[name=hide][value=db]").check()
    reader.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    reader.entry("0.dW", 0, 0).click()


def overflow(reader: Reader) -> Any:
    """Say how wide the page is, and whether it hides what does not fit."""
    return reader.page.evaluate("""() => [document.documentElement.scrollWidth, document.body.scrollWidth,
      ...[document.documentElement, document.body].map((each) => getComputedStyle(each).overflowX)]""")


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_wider_than_a_telephone(read: Read, name: str) -> None:
    reader = read(name, width=NARROW)
    open_all(reader)
    for _ in ("light", "dark"):
        root, body, *hides = overflow(reader)
        assert max(root, body) <= NARROW
        assert hides == ["visible", "visible"]
        reader.page.locator("#theme").click()
    reader.choose(3, 1)
    assert max(overflow(reader)[:2]) <= NARROW


@pytest.mark.parametrize("name", ["tiny", "digits", "tiny bug"])
def test_axe_finds_no_serious_violation(read: Read, name: str) -> None:
    reader = read(name)
    open_all(reader)
    reader.page.evaluate(THIN, 3)  # a map's entries are alike, and thousands of them take minutes
    for width, theme in itertools.product((WIDE, NARROW), LOOKS):
        reader.page.set_viewport_size({"width": width, "height": 900})
        reader.page.emulate_media(color_scheme=theme)
        found = Axe().run(reader.page, options={"resultTypes": ["violations"]}).response
        assert len(found["passes"]) > 20
        serious = [each for each in found["violations"] if each["impact"] in ("serious", "critical")]
        assert [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in serious] == []


def test_axe_would_find_a_violation(read: Read) -> None:
    reader = read("tiny")
    reader.page.locator("#network").evaluate("(it) => { it.style.color = '#ddd'; it.style.background = '#eee'; }")
    found = Axe().run(reader.page, "#network").response
    assert [each["id"] for each in found["violations"]] == ["color-contrast"]


def test_headings_are_in_order_and_each_map_has_a_name(read: Read) -> None:
    reader = read("digits")
    levels = reader.page.locator("h1, h2, h3, h4").evaluate_all("all => all.map((each) => +each.tagName[1])")
    assert levels.count(1) == 1
    assert levels.count(2) == 7
    assert max(after - before for before, after in itertools.pairwise(levels)) == 1
    names = reader.page.locator("table[role=grid]").evaluate_all("all => all.map((each) => each.ariaLabel)")
    assert all(names)
    tabs = "all => all.map((each) => each.querySelectorAll('td[tabindex=\"0\"]').length)"
    assert set(reader.page.locator("table[role=grid]").evaluate_all(tabs)) == {1}, (
        "one stop of the Tab key for each map"
    )
