"""One browser for all tests of the page that `minnet explain` writes, and the pages, each written once."""

import contextlib
import functools
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, sync_playwright

from minnet.cli.main import main
from tests.browser.reader import Reader

PENGUINS = Path(__file__).parent.parent.parent / "data" / "penguins.csv"
COMMANDS = {
    "tiny": ["tiny"],
    "digits": ["digits"],
    "iris": ["iris"],
    "spiral": ["spiral"],
    "penguins": [str(PENGUINS), "--target", "species"],
    "bug": ["iris", "--bug", "diagonal-jacobian"],
    "tiny bug": ["tiny", "--bug", "diagonal-jacobian"],
    "late bug": ["iris", "--bug", "derivative-missing"],
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no browser for the page's tests; this installs one: apt-get install chromium"

Written = tuple[Path, dict[str, Any]]
Read = Callable[..., Reader]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Start a browser without a window; where there is none, skip, unless this is a machine that must have one."""
    found = [*filter(None, map(shutil.which, BROWSERS))]
    if not found:
        (pytest.fail if "CI" in os.environ else pytest.skip)(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0])
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Written]:
    """Give the file that `minnet explain` writes, and what it recorded."""
    folder = tmp_path_factory.mktemp("pages")

    @functools.cache
    def page(name: str) -> Written:
        file, printed = folder / f"{name}.html", io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert main(["explain", *COMMANDS[name], "--out", str(file), "--json"]) == 0
        return file, json.loads(printed.getvalue())

    return page


@pytest.fixture
def read(chromium: Browser, pages: Callable[[str], Written]) -> Iterator[Read]:
    """Open a page; in the end the browser must have had nothing to say, and asked for nothing but the page itself."""
    readers = []

    def opened(page: str | Written, width: int = 1200, theme: str = "light") -> Reader:
        file, content = pages(page) if isinstance(page, str) else page
        scheme: Any = theme
        context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        reader = Reader(context.new_page(), content, file)
        reader.page.set_default_timeout(10_000)
        readers.append(reader)

        def dismiss(dialog: Dialog) -> None:
            reader.said.append(f"dialog: {dialog.message}")
            dialog.dismiss()

        reader.page.on("console", lambda message: reader.said.append(f"{message.type}: {message.text}"))
        reader.page.on("pageerror", lambda error: reader.said.append(f"error: {error}"))
        reader.page.on("dialog", dismiss)
        reader.page.on("request", lambda request: reader.said.append(f"request: {request.url}"))
        reader.page.goto(file.as_uri())
        reader.said.remove(f"request: {file.as_uri()}")
        return reader

    yield opened
    for reader in readers:
        reader.page.context.close()
    assert [reader.said for reader in readers if reader.said] == []
