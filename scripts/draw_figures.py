"""Draw the figures of the derivation, docs/figures/*.svg, from computed numbers."""

from collections.abc import Callable
from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure

FOLDER = Path(__file__).parent.parent / "docs" / "figures"
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "minnet", "font.family": "sans-serif"}  # text as text, the same bytes
FIGURES: dict[str, Callable[[], Figure]] = {}


def main() -> None:
    """Write each figure into its file."""
    FOLDER.mkdir(exist_ok=True)
    for name, draw in FIGURES.items():
        with rc_context(STYLE):
            draw().savefig(FOLDER / f"{name}.svg", metadata={"Date": None})
        print(f"docs/figures/{name}.svg")


if __name__ == "__main__":
    main()
