"""How do results leave a command? As files that may be written, and as rows on stdout."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from minnet.support.files import write_text


def writable(name: str) -> Path:
    """Return the name of a file to write as a path, or raise an OSError now, before any work is done for it."""
    out = Path(name)
    if not out.parent.is_dir():
        raise FileNotFoundError(f"cannot write {name}: there is no folder {out.parent}")
    if out.is_dir():
        raise IsADirectoryError(f"cannot write {name}: it is a folder, expected the name of a file")
    return out


def write_csv(rows: Iterable[Iterable[Any]], out: Path | None) -> None:
    """Write rows as CSV, to stdout without a file."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    if out is None:
        print(text.getvalue(), end="")
    else:
        write_text(out, text.getvalue())
