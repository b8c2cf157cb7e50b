"""Is a wrong step shown beside the right one, and said to be wrong where it is?"""

import numpy as np
import pytest

from tests.browser.conftest import Read
from tests.browser.reader import Reader, shows

BUGS = ("bug", "tiny bug")
NAMES = ["2.dz", "0.dW", "0.db", "2.dW", "2.db"]


def differ(reader: Reader, name: str) -> bool:
    """Tell whether the program with the bug has other numbers than the right one."""
    return not np.allclose(reader.array(name), reader.array(name, "right"), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", BUGS)
def test_where_the_two_programs_differ_both_numbers_are_beside_each_other(read: Read, name: str) -> None:
    reader = read(name)
    for step in range(4):
        reader.choose(step, 1)
        cells = [cell for cell in reader.cells() if not cell.away]
        right = [cell for cell in cells if cell.right]
        for cell in right:
            assert shows(cell.text, reader.value(cell), 4), cell
            assert ", right" in cell.label
        maps = {cell.name for cell in right if cell.map in {each.map for each in right}}
        here = reader.content["steps"][step]
        in_a_map = {cell.name for cell in cells}
        for each in here["right"]:
            if each in in_a_map and not each.endswith((".exact", ".outer")):
                assert differ(reader, each) <= (each in maps), each
        for marked in ("2.dz", "2.dW", "0.dW"):
            assert differ(reader, marked)
            figure = reader.page.locator(f"#backward figure:has(table[data-array='{marked}'])").first
            assert "✗ wrong" in figure.locator("figcaption").inner_text()
            assert figure.locator("p.version").all_inner_texts() == ["with diagonal-jacobian", "right"]
    wrong = reader.array("2.dz")
    y, t = reader.array("y"), reader.array("t")
    np.testing.assert_allclose(wrong, -t * (1 - y) / len(y), rtol=1e-9, atol=1e-12)  # the diagonal alone


@pytest.mark.parametrize("name", BUGS)
def test_the_proof_says_in_words_where_the_gradient_is_wrong(read: Read, name: str) -> None:
    reader = read(name)
    for step in (0, 2, 3):
        reader.choose(step)
        verdicts = reader.facts("#proof tr[data-array]", "array")
        assert list(verdicts) == NAMES
        for each, verdict in verdicts.items():
            exact = reader.array(f"{each}.exact")
            holds = np.abs(reader.array(each) - exact).max() <= 1e-9 * np.abs(exact).max()
            assert verdict.endswith("✓ right" if holds else "✗ wrong"), (each, verdict)
        assert not verdicts["2.dz"].endswith("right")
        marks = reader.page.locator("#proof [data-holds]")
        assert set(marks.evaluate_all("all => all.map((each) => each.dataset.holds)")) <= {"true", "false"}


@pytest.mark.parametrize("name", BUGS)
def test_one_wrong_entry_is_checked_and_its_sum_still_holds(read: Read, name: str) -> None:
    reader = read(name)
    reader.choose(1)
    exact, said = reader.array("2.dW.exact"), reader.array("2.dW")
    i, j = np.unravel_index(np.abs(exact - said).argmax(), exact.shape)
    reader.entry("2.dW", int(i), int(j)).click()
    panel = reader.page.locator("#sum")
    assert panel.get_attribute("data-holds") == "true", "dW is still x turned over times dz"
    reader.page.locator("#check").click()
    lines = panel.locator(".digits span:last-child").all_inner_texts()
    assert shows(lines[0], float(said[i, j]), 15)
    assert shows(lines[1], float(exact[i, j]), 15)
    assert shows(lines[2], float(said[i, j] - exact[i, j]), 3)
    assert panel.locator("[data-holds=false]").inner_text().startswith("✗ They differ")
    reader.page.keyboard.press("Escape")
    off = np.abs(reader.array("2.dz") - (reader.array("y") - reader.array("t")) * reader.array("weight"))
    reader.entry("2.dz", *map(int, np.unravel_index(off.argmax(), off.shape))).hover()
    assert panel.get_attribute("data-holds") == "false", "dz is not w (y − t)"
    assert "✗ This makes" in panel.inner_text()


def test_a_proof_holds_where_the_bug_does_not_reach(read: Read) -> None:
    reader = read("late bug")
    reader.choose(1)
    verdicts = reader.facts("#proof tr[data-array]", "array")
    ends = {name: verdict.rpartition("\t")[2] for name, verdict in verdicts.items()}
    assert ends["2.dz"] == ends["2.dW"] == ends["2.db"] == "✓ right"
    assert ends["0.dW"] == ends["0.db"] == "✗ wrong"


@pytest.mark.parametrize("name", BUGS)
def test_the_top_says_which_bug_and_leads_to_where_it_first_shows(read: Read, name: str) -> None:
    reader = read(name)
    words = reader.page.locator("#bug").inner_text()
    bug = reader.content["bug"]
    assert bug["name"] in words
    assert bug["meaning"] in words
    reader.choose(2)
    first = reader.page.locator("#first")
    assert first.inner_text().endswith("step 0")
    first.click()
    reader.look()
    assert reader.step == 0
    place = str(first.get_attribute("href"))
    names = [each for each in reader.content["steps"][0]["arrays"] if each in reader.content["steps"][0]["right"]]
    assert place == f"#at-{next(each for each in names if differ(reader, each))}"
    assert reader.page.locator(f'[id="{place[1:]}"]').is_visible()
