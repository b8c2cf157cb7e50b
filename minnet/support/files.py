"""How are files written that can be trusted, and read when they cannot? Whole or not at all; arrays with a checksum.

An array file is a safetensors file: arrays by name, and a JSON object that describes them. Nothing in it can run code.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minnet.support.stack import Array
from minnet.support.text import one_line

NESTING = 50  # levels of JSON, many more than minnet writes


@contextlib.contextmanager
def refusing(path: str | os.PathLike[str], what: str) -> Iterator[None]:
    """Raise ValueError that names a file and says what it is not, if what it holds makes something raise an error."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:  # few document what damage may raise
        problem = f"field {one_line(error)} is missing" if isinstance(error, KeyError) else one_line(error, 300)
        raise ValueError(f"{path}: not {what}: {problem}") from None


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name to write to, beside ``path``; when all is well it is moved there, once the disk has all of it.

    What a link points to is replaced, not the link. A device or a pipe cannot be replaced, and is written to.
    """
    if path.exists() and not (path.is_file() or path.is_dir()):
        yield path
        return
    given, path = path, Path(os.path.realpath(path))
    beside = path.with_name(f".{path.name}.{os.urandom(4).hex()}.part")
    try:
        yield beside
        flush(beside)
        os.replace(beside, path)
        flush(path.parent)
    except OSError as error:
        if error.filename == str(beside):  # whose name means nothing to the user
            error.filename = str(given)
        raise
    finally:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            beside.unlink()


def flush(path: Path) -> None:
    """Wait until the disk has a file's bytes, or a folder's names."""
    with contextlib.suppress(PermissionError):  # of a folder that may be written to, but not read
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file, or raise ValueError; what it holds can be formatted, converted and walked."""
    with refusing(path, "a JSON file as minnet writes them"):
        # An integer that no float can hold is infinite, as 1e999 is.
        content = json.loads(path.read_text(encoding="utf-8"), parse_int=lambda n: int(n) if len(n) < 300 else float(n))
        if not isinstance(content, dict) or nesting(content) > NESTING:
            raise ValueError(f"expected an object of at most {NESTING} levels")
        return content


def inner(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object in an object of JSON; an empty one where there is none."""
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def nesting(node: Any) -> int:
    """Tell how many levels of objects and lists something read from JSON has."""
    entries = [*node.values()] if isinstance(node, dict) else node
    return 1 + max(map(nesting, entries), default=0) if isinstance(entries, list) else 0


def write_arrays(path: Path, arrays: Mapping[str, Array], header: Mapping[str, Any]) -> None:
    """Write an array file, by a name that `replacing` gave; equal contents give equal bytes.

    Parameters
    ----------
    path : Path
        The file.
    arrays : mapping of str to array
        What to keep.
    header : mapping
        What describes it, in terms of JSON.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    import safetensors.numpy

    # safetensors reads memory as if every array were contiguous, and writes something else where it is not.
    tensors = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    sealed = {**header, "sha256": checksum(header, tensors)}
    # All in one entry: safetensors writes several in a random order.
    path.write_bytes(safetensors.numpy.save(tensors, {"minnet": json.dumps(sealed, sort_keys=True)}))


def read_arrays(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """Read an array file: its header, without the checksum, and its arrays.

    Raises
    ------
    OSError
        If it cannot be read.
    Exception
        Whatever it is, for `refusing`, if it is not one, is damaged, or holds other than its checksum says.
    """
    import safetensors

    # It checks first that the arrays lie side by side within the file: no more is allocated than the file is long.
    with safetensors.safe_open(path, framework="numpy") as file:
        header = json.loads((file.metadata() or {}).get("minnet", "null"))
        if not isinstance(header, dict):
            raise ValueError("it was not written by minnet")
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if header.pop("sha256", None) != checksum(header, arrays):
        raise ValueError("its contents are not those that its checksum, field sha256, is of: the file is damaged")
    return header, arrays


def checksum(header: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """Return the SHA-256 of a header and of arrays, with their names, dtypes and shapes."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.ravel().data)
    return digest.hexdigest()


@contextlib.contextmanager
def readable(problem: str) -> Iterator[None]:
    """Raise ValueError if something cannot be read, whatever else is raised: few document what damage may raise."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{problem} ({one_line(error)})") from None
