"""Are the figures of the documents those that scripts/draw_figures.py draws, and can they be read?"""

import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FIGURES = ROOT / "docs" / "figures"
PAGE = 840  # pixels of width on GitHub


def texts(file: Path) -> list[str]:
    """Return the texts of a figure, in order."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw all figures anew, into a folder."""
    folder = tmp_path_factory.mktemp("figures")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "scripts")
        patch.delitem(sys.modules, "draw_figures", raising=False)
        script = importlib.import_module("draw_figures")
        patch.setattr(script, "FOLDER", folder)
        script.main()
    return folder


def test_the_figures_are_those_that_the_script_draws(drawn: Path) -> None:
    assert sorted(file.name for file in FIGURES.iterdir()) == sorted(file.name for file in drawn.iterdir())
    for file in drawn.iterdir():
        assert texts(file) == texts(FIGURES / file.name), f"{file.name}: run python scripts/draw_figures.py"
        assert texts(file), f"{file.name} has no text"


def test_each_figure_is_shown_and_can_be_read() -> None:
    documents = "".join(file.read_text(encoding="utf-8") for file in (ROOT / "docs").glob("*.md"))
    for file in FIGURES.iterdir():
        assert f"](figures/{file.name})" in documents
        svg = file.read_text(encoding="utf-8")
        (width,) = map(float, re.findall(r'<svg[^>]* viewBox="0 0 ([\d.]+) [\d.]+"', svg))
        sizes = [float(size) * PAGE / width for size in re.findall(r"<text[^>]*?font(?:-size)?:[^;>]*?([\d.]+)px", svg)]
        assert len(sizes) == svg.count("<text")
        assert min(sizes) >= 11, f"{file.name}: a text of {min(sizes):.1f} pixels"
