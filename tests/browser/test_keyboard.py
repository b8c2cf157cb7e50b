"""Can all of the page be had with the keyboard alone?"""

from typing import Any

import pytest

from tests.browser.conftest import Read
from tests.browser.reader import Reader, shows

MOST = 250  # stops, before one is lost


def tab_to(reader: Reader, selector: str, key: str = "Tab") -> None:
    """Press Tab until the focus is there."""
    for _ in range(MOST):
        if reader.page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
        reader.page.keyboard.press(key)
    pytest.fail(f"{key} does not lead to {selector}")


def press(reader: Reader, *keys: str) -> None:
    """Press keys, one after another."""
    for key in keys:
        reader.page.keyboard.press(key)
    reader.look()


def focused(reader: Reader) -> dict[str, Any]:
    """Say which entry has the focus."""
    found: dict[str, Any] = reader.page.evaluate("() => ({ ...document.activeElement.dataset })")
    return found


def test_the_slider_and_the_choice_of_sample_obey_the_arrow_keys(read: Read) -> None:
    reader = read("tiny")
    tab_to(reader, "#step")
    for step, of_training in ((1, 1), (2, 10), (3, 100)):
        press(reader, "ArrowRight")
        assert reader.step == step
        assert reader.page.locator("#where").inner_text().startswith(f"step {of_training}, ")
        words = str(reader.page.locator("#step").get_attribute("aria-valuetext"))
        assert words.startswith(f"step {of_training}, loss ")
    press(reader, "ArrowLeft")
    assert reader.step == 2
    tab_to(reader, "[name=sample]")
    press(reader, "ArrowDown")
    assert reader.sample == 1
    for cell in reader.cells():
        assert shows(cell.text, reader.value(cell), 4)


def test_entries_are_reached_by_tab_and_arrows_and_say_how_they_come_about(read: Read) -> None:
    reader = read("tiny")
    panel, written = reader.page.locator("#panel"), reader.page.locator("#sum .written")
    tab_to(reader, "#forward table[data-array='0.z'] td")
    assert focused(reader) == {"array": "0.z", "i": "0", "j": "0"}
    assert written.inner_text() == "1 · 0.5 + 2 · 0.5 + 0 = 1.5"
    press(reader, "ArrowRight", "ArrowDown")
    assert focused(reader) == {"array": "0.z", "i": "1", "j": "1"}
    assert written.inner_text() == "2 · (−0.5) + (−1) · 1 + (−0.5) = −2.5"
    press(reader, "ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight")
    assert focused(reader) == {"array": "0.z", "i": "1", "j": "2"}, "the edge is the end"
    press(reader, "Tab")
    assert focused(reader) == {"array": "0.z", "i": "0", "j": "0"}, "Tab goes on to the next map, ReLU's input"
    press(reader, "Shift+Tab")
    assert focused(reader) == {"array": "0.z", "i": "1", "j": "2"}, "and back to the same entry"
    assert panel.is_visible()
    press(reader, "Escape")
    assert panel.is_hidden()
    for name in ("1.a", "y", "2.dz", "2.dW", "2.db", "1.da", "0.dW", "dx"):
        tab_to(reader, f"table td[data-array='{name}']")
        assert shows(reader.page.locator("#sum .value").inner_text(), float(reader.array(name).flat[0]), 10)
        assert reader.page.locator("#sum").get_attribute("data-holds") == "true"


def test_the_long_way_opens_with_space(read: Read) -> None:
    reader = read("tiny")
    tab_to(reader, "#long-way")
    press(reader, "Space")
    assert reader.page.locator("#long").is_visible()
    tab_to(reader, "#long table[data-array=jacobian] td")
    press(reader, "ArrowRight")
    assert shows(reader.page.locator("#sum .value").inner_text(), float(reader.array("jacobian")[0, 0, 1]), 10)
    tab_to(reader, "#long-way", "Shift+Tab")
    press(reader, "Space")
    assert reader.page.locator("#long").is_hidden()


def test_numbers_are_hidden_and_revealed_and_shown_again(read: Read) -> None:
    reader = read("tiny")
    tab_to(reader, "#hide summary")
    press(reader, "Enter")
    tab_to(reader, "[name=hide][value=dW]")
    press(reader, "Space")
    tab_to(reader, "#backward table[data-array='2.dW'] td")
    entry = reader.entry("2.dW", 0, 0)
    assert entry.inner_text() == "?"
    for key, j in (("Enter", 0), ("Space", 1)):
        press(reader, key)
        assert focused(reader) == {"array": "2.dW", "i": "0", "j": str(j)}
        assert shows(reader.entry("2.dW", 0, j).inner_text(), float(reader.array("2.dW")[0, j]), 4)
        press(reader, "ArrowRight")
    assert reader.entry("2.dW", 0, 2).inner_text() == "?"
    tab_to(reader, "#show-all", "Shift+Tab")
    press(reader, "Enter")
    assert not [cell for cell in reader.cells() if cell.hidden]


def test_one_entry_is_checked(read: Read) -> None:
    reader = read("tiny")
    tab_to(reader, "#backward table[data-array='2.dW'] td")
    press(reader, "ArrowDown", "Enter")
    tab_to(reader, "#check")
    press(reader, "Enter")
    assert reader.page.locator("#sum").inner_text().startswith("dW₂, unit 2, A")
    lines = reader.page.locator("#sum .digits span:last-child").all_inner_texts()
    assert shows(lines[0], float(reader.array("2.dW")[1, 0]), 15)
    assert reader.page.locator("#sum [data-holds=true]").is_visible()
    press(reader, "Escape")
    assert reader.page.locator("#panel").is_hidden()


def test_light_and_dark_are_changed_by_a_button(read: Read) -> None:
    reader = read("tiny")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = reader.page.evaluate(paper)
    tab_to(reader, "#theme")
    press(reader, "Enter")
    dark = reader.page.evaluate(paper)
    assert dark != light
    press(reader, "Space")
    assert reader.page.evaluate(paper) == light
    assert read("tiny", theme="dark").page.evaluate(paper) == dark


def test_the_contents_lead_to_each_section(read: Read) -> None:
    reader = read("tiny")
    for section in ("batch", "forward", "output", "heart", "backward", "update", "proof"):
        reader.page.evaluate("scrollTo(0, 0)")
        tab_to(reader, f"#contents ol a[href='#{section}']")
        press(reader, "Enter")
        reader.page.wait_for_function(
            "(id) => Math.abs(document.getElementById(id).getBoundingClientRect().top) < 500", arg=section
        )
        reader.page.locator("h1").evaluate("(h1) => { h1.tabIndex = -1; h1.focus(); }")
