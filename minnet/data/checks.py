"""Can a file be read here? It is there, it is whole, and there is memory enough for what it holds."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from minnet.support.machine import free_memory
from minnet.support.text import one_line

NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


@contextlib.contextmanager
def readable(problem: str) -> Iterator[None]:
    """Raise ValueError if something cannot be read, whatever else is raised: few document what damage may raise."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{problem} ({one_line(error)})") from None


def check_file(path: str) -> Path:
    """Return a file that is there and leaves room in memory for what is made of it, or raise an error that names it."""
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    check_memory(f"{path}: reading it", 4 * file.stat().st_size)
    return file


def check_memory(what: str, size: int) -> None:
    """Raise ValueError if less than so many bytes are free."""
    if size > free_memory():
        raise ValueError(f"{what} would take {size / 1e9:.3g} GB of memory, more than is free")
