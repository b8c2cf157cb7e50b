"""Write the pages of docs/ that show a step to whoever has no Python, explain-tiny.html and explain-digits.html.

And a picture for the README, docs/explain.png, which takes Playwright and a Chromium; without them it stays as it is.
"""

import shutil
from pathlib import Path

from minnet.cli import main as minnet

DOCS = Path(__file__).parent.parent / "docs"
PAGES = ("tiny", "digits")


def photograph(page: Path, picture: Path) -> None:
    """Take a picture of the section on y − t."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 960, "height": 800})
        tab.goto(page.as_uri())
        tab.add_style_tag(content="#bar { position: static }")  # which would lie on the section
        tab.locator("#heart").screenshot(path=picture)
        browser.close()


def main() -> None:
    """Write them all."""
    for name in PAGES:
        minnet(["explain", name, "--out", str(DOCS / f"explain-{name}.html")])
    if shutil.which("chromium"):
        photograph(DOCS / "explain-tiny.html", DOCS / "explain.png")


if __name__ == "__main__":
    main()
