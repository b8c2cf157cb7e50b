"""Does the guided first hour, docs/reading-the-code.md, go as it says, from its first line to its last?"""

import code
import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from minnet.lab import check

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "reading-the-code.md").read_text(encoding="utf-8")
LESSON = ("layers", "output", "network", "optimizers", "schedules", "training", "history", "gradient_check")
BASH = shutil.which("bash") or "bash"
NUMBER = r"(?<![\w.])[-−]?\d+(?:\.\d+)?(?:e[-+]\d+)?(?!\w)"
ROUNDING = 1e-10  # what is smaller differs from machine to machine


class Block(NamedTuple):
    """A block of the page, the file that it is to be saved as, and what it prints, if the page says so."""

    language: str
    text: str
    file: str
    printed: str


def blocks() -> Iterator[Block]:
    found = re.findall(r"^```(\w+)\n(.*?)^```\n(?:\n```\n(.*?)^```$)?", PAGE, re.DOTALL | re.M)
    for language, text, printed in found:
        file = re.match(r"# (\w+\.py)\n", text)
        yield Block(language, text, file[1] if file else "", printed)


def number(text: str) -> float:
    return float(text.replace("−", "-"))


def same(quoted: str, printed: str) -> bool:
    """Tell whether two numbers are the same but for the last decimal quoted, 2 %, or rounding."""
    q, p = number(quoted), number(printed)
    decimals = 0 if "e" in quoted else len(quoted.partition(".")[2])
    last = 1.01 * 10**-decimals if decimals else 0
    return abs(q - p) <= max(last, 0.02 * abs(q), ROUNDING)


def pattern(line: str) -> str:
    """Match a line with any numbers in their places, any spaces between words, and anything for …."""
    if line.strip() == "…":
        return r"(?:.*\n)*?"
    words = re.split(f"({NUMBER})", " ".join(line.split()))
    words[1::2] = [f"({NUMBER})"] * (len(words) // 2)
    words[::2] = [re.escape(word).replace(r"\ ", " +").replace("…", ".*?") for word in words[::2]]
    return "".join(words) + r" *\n"


def agrees(quoted: str, printed: str) -> bool:
    """Tell whether what is printed is what the page quotes."""
    plain = "".join(line.strip() + "\n" for line in printed.splitlines())
    found = re.fullmatch("".join(map(pattern, quoted.splitlines())), plain)
    return found is not None and all(map(same, re.findall(NUMBER, quoted), found.groups()))


@pytest.mark.parametrize(
    ("quoted", "printed", "agree"),
    [
        ("loss  0.1467  (x)\n", "loss 0.1466 (x)\n", True),
        ("loss  0.1467  (x)\n", "loss 0.1967 (x)\n", False),
        ("loss  0.1467  (x)\n", "loss 0.1467\n", False),
        ("error 2.0e-16\n", "  error   4.5e-16\n", True),
        ("error 2.0e-16\n", "error 4.5e-6\n", False),
        ("a\n…\nb 1\n", "a\nmore\nb 1\n", True),
        ("a\nb 1\n", "a\nmore\nb 1\n", False),
        ("a 1 …\n", "a 1 and more\n", True),
        ("[−0.5] x\n", "[0.5] x\n", False),
        ("right\n", "right\nand more\n", False),
    ],
)
def test_what_is_quoted_is_compared_with_what_is_printed(quoted: str, printed: str, agree: bool) -> None:
    assert agrees(quoted, printed) == agree


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder like a clone in which the README's first command has run."""
    for name in ("minnet", "scripts"):
        (tmp_path / name).symlink_to(ROOT / name)
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "activate").touch()
    for name, arguments in (("python", ""), ("minnet", "-m minnet")):
        (programs / name).write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -W error {arguments} "$@"\n', encoding="utf-8"
        )
        (programs / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.syspath_prepend(tmp_path)
    in_terminal("minnet train digits --quiet --no-baseline", "")
    modules = set(sys.modules)
    yield tmp_path
    for name in {block.file.removesuffix(".py") for block in blocks()} - modules:
        sys.modules.pop(name, None)


def in_terminal(commands: str, quoted: str) -> str:
    """Run commands line by line, each of which must work, and return what they print."""
    printed = ""
    for line in commands.splitlines():
        run = subprocess.run([BASH, "-c", line], check=False, capture_output=True, text=True)
        fails = "minnet check" in line and "WRONG" in quoted
        assert run.returncode == fails, f"{line}\n{run.stdout}{run.stderr}"
        printed += run.stdout
    return printed


def in_python(console: code.InteractiveConsole, lines: str) -> str:
    """Paste lines into Python, and return what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        for line in [*lines.splitlines(), ""]:
            console.push(line)
    return printed.getvalue()


def test_the_hour_goes_as_the_page_says(clone: Path) -> None:
    console = code.InteractiveConsole()
    for language, text, file, quoted in blocks():
        if file:
            (clone / file).write_text(text, encoding="utf-8")
            continue
        printed = in_terminal(text, quoted) if language == "bash" else in_python(console, text)
        if quoted:
            assert agrees(quoted, printed), f"{text}\nis to print\n\n{quoted}\nbut prints\n\n{printed}"
        else:
            assert "Traceback" not in printed
    assert {"runs", "explain-tiny.html", "explain-digits.html"} <= set(os.listdir(clone))


def rows(columns: int) -> list[list[str]]:
    """Return the rows of the tables that have so many columns, without their headings."""
    found = [[cell.strip() for cell in row.split(" | ")] for row in re.findall(r"^\| (.*) \|$", PAGE, re.M)]
    return [row for row in found if len(row) == columns and not row[0].startswith(("file", "in place"))]


def test_each_line_to_find_is_there_once_and_the_files_are_in_order() -> None:
    file, files = "", []
    for row in re.findall(r"^\| (?:\[`(minnet/\w+\.py)`\]\(\S+\) )?\| `(.*?)` \| (.*?) \|", PAGE, re.M):
        file = row[0] or file
        files += [row[0]] if row[0] else []
        text = (ROOT / file).read_text(encoding="utf-8")
        assert len(re.findall(rf"^ *{re.escape(row[1])}$", text, re.M)) == 1, row
        for equation in re.findall(r"\d+[a-z]?", row[2]):
            assert re.search(rf"\beqs?\. [^)]*\b{equation}\b", text), (file, equation)
    assert files == [f"minnet/{name}.py" for name in LESSON]


def test_each_mistake_to_try_is_named_as_the_page_says() -> None:
    (text,) = [block.text for block in blocks() if block.file == "broken.py"]
    right = text.replace("-self.x", "self.x")
    tried = [row for row in rows(3) if row[0].startswith("`")]
    assert len(tried) == 4
    for before, after, name in [("", "", ""), *tried]:
        changed = right.replace(before.strip("`"), after.strip("`")) if before else right
        namespace: dict[str, Any] = {}
        code.InteractiveInterpreter(namespace).runcode(compile(changed, "broken.py", "exec"))
        report = check.check_class(namespace["MyLinear"])
        assert f"WRONG: {name}" in str(report) if name else "right: " in str(report)
