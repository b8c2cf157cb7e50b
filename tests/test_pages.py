"""Are the pages in docs/ those that `minnet explain` writes today?"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from minnet.cli.main import main

DOCS = Path(__file__).parent.parent / "docs"
DATA = re.compile(r'(?<=<script type="application/json" id="data">).*?(?=</script>)', re.DOTALL)


def kept_apart(value: Any, number: Any) -> Any:
    """Leave out what is rounding alone, and turn each number into what it is compared as."""
    if isinstance(value, dict):
        return {name: kept_apart(each, number) for name, each in value.items() if not name.endswith(".error")}
    if isinstance(value, list):
        return [kept_apart(each, number) for each in value]
    return number(value) if isinstance(value, float) else value


@pytest.mark.parametrize("name", ["tiny", "digits"])
def test_the_pages_in_docs_are_those_of_today(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails, run scripts/make_pages.py."""
    assert main(["explain", name, "--out", str(tmp_path / "page.html")]) == 0
    kept, today = (path.read_text(encoding="utf-8") for path in (DOCS / f"explain-{name}.html", tmp_path / "page.html"))
    assert DATA.sub("", kept) == DATA.sub("", today)
    data = [json.loads(DATA.findall(page)[0]) for page in (kept, today)]
    assert kept_apart(data[0], float) == kept_apart(data[1], lambda number: pytest.approx(number, rel=1e-6, abs=1e-6))
