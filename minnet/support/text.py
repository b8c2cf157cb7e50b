"""How is it said? Names shortened, listed and likened; whatever a file holds, one line that can be printed."""

import contextlib
import difflib
import itertools
import sys
from collections.abc import Collection, Iterable, Sequence


def printable(text: str) -> str:
    """Put a space in the place of each character that cannot be printed, such as a control character."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def one_line(what: object, most: int | None = 200) -> str:
    """Bring what a file or another package says to one line that can be printed, and shorten it."""
    return " ".join(printable(str(what)).split())[:most] or type(what).__name__


def say(message: str) -> None:
    """Print a line on stderr, if somebody reads it, and nothing of names in it that a terminal would obey."""
    with contextlib.suppress(OSError):
        print(f"minnet: {one_line(message, None)}", file=sys.stderr, flush=True)


def shortened(name: str, width: int) -> str:
    """Leave the middle of a long name out."""
    return name if len(name) <= width else f"{name[: width // 2 - 1]}…{name[-(width // 2) :]}"


def counted(n: int, one: str, several: str = "") -> str:
    """Say how many of something there are: "1 cell", "2 cells"."""
    return f"{n} {one if n == 1 else several or one + 's'}"


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Sort known names so that those most like a name come first."""
    return sorted(known, key=lambda other: difflib.SequenceMatcher(None, name.lower(), other).ratio(), reverse=True)


def listed(names: Collection[str], near: str | None = None) -> str:
    """Write names for a message, those most like another first; not so many that the message could not be read."""
    few = [*itertools.islice(names, 1000)]
    if near is not None:  # comparing takes the product of the lengths
        few = nearest(near[:60], [name for name in few if len(name) <= 60]) or few
    more = f", … ({len(names)} in all)" if len(names) > 12 else ""
    return ", ".join(f"{name!r:.60}" for name in few[:12]) + more


def table(rows: Sequence[Sequence[str]], align: str = "") -> list[str]:
    """Lay rows out in columns; ``align`` has a < or > for each, < where it ends."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = align.ljust(len(widths), "<")
    line = "  ".join(f"{{:{side}{width}}}" for side, width in zip(sides, widths, strict=True))
    return [line.format(*row).rstrip() for row in rows]
