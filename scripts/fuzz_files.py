"""What does minnet make of files that are damaged, or written to do harm? Each must load, or be refused in one line.

Good files of each kind are damaged: bytes anywhere, fields of headers, and what stands behind a checksum, which is then
made to fit. A case fails, and is kept, if anything but a ValueError or OSError of one line that names the file comes
out, if what loads is not what was saved, if a command leaves with another exit code than 0, 1 or 2, if it takes long or
much memory, or if it runs code, hangs or ends the process. The seed determines every case.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import faulthandler
import io
import itertools
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pyarrow
import pyarrow.parquet
import safetensors.numpy
import sklearn.metrics  # noqa: F401 - before memory is limited, as is the next

import minnet.plots
from minnet.cli.main import build_parser, main
from minnet.data import tables
from minnet.runs import build, folder, report
from minnet.runs.checkpoints import checkpoints, load_checkpoint, save_checkpoint
from minnet.support.files import checksum, read_arrays

Array = np.ndarray[Any, Any]
SECONDS, MEMORY = 5.0, 2**30  # what a case may take
COMMAND_EVERY = 10  # one case in so many tries the command line, too
FLAGS = (
    "train iris --epochs 4 --hidden 6 --normalize batch --dropout 0.2 --optimizer adam --weight-decay 0.01 --patience 2"
    " --label-smoothing 0.1 --class-weights 1,2,1 --schedule cosine --clip-norm 1 --quiet --seeds"
)
SEEDS = {"single": "1", "stack": "3"}
COSTLY = ("epochs", "seeds", "hidden")  # however long a configuration says to train, minnet does
CODE = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect"}
ran: list[str] = []  # which of them were

VALUES: list[Any] = json.loads(
    r"""[null, true, false, "", "x", "0", "Linear", "a\nb", "\u0000\u001b[2J\u2028", "\ud800", "@LONG", "@DEEP", "@BIG",
    [], {}, [[]], [null], ["a"], [1, 2], {"type": "Linear", "D": 4, "H": 1e12}, {"type": "Linear", "D": 3, "H": 3},
    "|O", "f8,O", "<U0", "4f8", ">f8", "<M8[s]", 0, -1, 1, 3, 7, 1000000000000, 9223372036854775808, 0.5, -0.0, 1e308,
    5e-324, NaN, Infinity]"""
)
NUMBERS = [10**400, -(2**63), *(value for value in VALUES if type(value) in (int, float))]
CELLS = [*map(str, VALUES + NUMBERS), '"', " ", 'a"b', "1e999", "1,5", "0x1", "١", "1_0", "-2.5", "9" * 100_000]
BYTES = b"\n|\r|\t|,|;|{|}|\xff|\0\0\0\0|\xff\xff\xff\xff|(3,)|PK\1\2|PAR1|\xef\xbb\xbf|null|[[[[[[[[[[[[[[".split(b"|")
BYTES += [cell.encode(errors="surrogatepass") for cell in CELLS]


def damaged(data: bytes, chance: Random, start: int = 0, stop: int | None = None) -> bytes:
    """Damage bytes in one to four places between two others."""
    for _ in range(chance.randint(1, 4)):
        at = chance.choice(range(len(data) + 1)[start:stop] or [0])
        end = at + chance.choice([0, 1, 1, 2, 4, 8, 60])
        old = data[at:end]
        lie = (2 ** chance.randrange(65) - 1).to_bytes(8, "little")[: len(old)]  # about a length or a position
        new = chance.choice([lie, chance.randbytes(len(old)), chance.choice(BYTES), old * 2, b""])
        data = data[:at] + new + data[end:] if chance.random() < 0.9 else data[:at]
    return data


def places(tree: Any) -> list[tuple[Any, Any]]:
    """List every place in a tree of JSON, as a container and a key."""
    found = []
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        found += [(tree, key), *(places(tree[key]) if isinstance(tree[key], dict | list) else [])]
    return found


def edited(data: bytes, chance: Random) -> bytes:
    """Change one to three places of a JSON object, also to what Python's own json cannot write."""
    tree = json.loads(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        node, key = chance.choice(places(tree))
        value = copy.deepcopy(chance.choice([*VALUES, *NUMBERS, [node[key]] * chance.choice([1, 2, 100])]))
        if isinstance(node, dict) and chance.random() < 0.2:
            node[str(value)] = node.pop(key)
        else:
            node[key] = value
    depth = chance.choice([30, 900, chance.randint(960, 1000), 10**5])
    text = json.dumps(tree).replace('"@DEEP"', "[" * depth + "]" * depth)
    return text.replace('"@BIG"', "9" * 5000).replace("@LONG", "é" * 5000).encode()


def changed(array: Array, chance: Random) -> Array:
    """Change an array's dtype, shape and size, or one of its values."""
    how = chance.randrange(3)
    if how == 0:
        return array.astype(chance.choice(["f2", "f4", "f8", "i1", "i8", "u8", "?"]))
    if how == 1:
        shape = array.shape
        return np.resize(
            array, chance.choice([0, 1, array.size, array.size + 1, (1, *shape), (*shape, 1), shape[::-1]])
        )
    array[chance.choice([..., *np.ndindex(array.shape[:1])])] = chance.choice(NUMBERS)
    return array


def resealed(path: Path, chance: Random) -> bytes:
    """Change the header or an array of an array file, and make its checksum fit."""
    header, arrays = read_arrays(path)
    text = json.dumps(header)
    if chance.random() < 0.5:
        text = edited(text.encode(), chance).decode()
    else:
        name = chance.choice(sorted(arrays))
        array = arrays.pop(name)
        name = chance.choice([name, name, name, name, "x", "memory.x", "history.9.lr", "\n", ""])
        with np.errstate(all="ignore"), contextlib.suppress(OverflowError, ValueError):  # a NaN is no integer
            arrays[name] = changed(array, chance)
    with contextlib.suppress(ValueError, RecursionError):  # of what no checksum can be made
        text = f'{text[:-1]}, "sha256": "{checksum(json.loads(text), arrays)}"}}'
    return bytes(safetensors.numpy.save(arrays, {"minnet": text}))


def damaged_arrays(data: bytes, chance: Random) -> bytes:
    """Damage the header of safetensors, and its length, which is what the file begins with."""
    end = 8 + int.from_bytes(data[:8], "little")
    text = edited(data[8:end], chance)
    start = len(text).to_bytes(8, "little")
    return chance.choice([start, damaged(start, chance)]) + text + data[end:]


def damaged_cells(data: bytes, chance: Random) -> bytes:
    """Change cells, rows and columns of a table in text, and how it is written."""
    rows = [line.split(",") for line in data.decode().splitlines()]
    for _ in range(chance.randint(0, 3)):
        i, k = chance.randrange(len(rows)), chance.randrange(4)
        many = list(map(str, range(chance.choice([0, 0, 2, 1000, 10**5 + 1]))))
        cells = chance.choice([[chance.choice(CELLS)], [chance.choice(CELLS)], many])
        for row in chance.choice([rows[i : i + 1], rows[i : i + 1], rows, rows[1:]]):
            row[k : k + 1] = cells
    text = chance.choice(["\n", "\n", "\r\n", "\r"]).join(map(chance.choice(",,,,;\t|").join, rows))
    return text.encode(chance.choice(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16"]), "surrogatepass")


class Attack:
    """What runs code where objects of Python are read."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


def npy(array: Array) -> bytes:
    """Make an .npy."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def damaged_npy(data: bytes, chance: Random) -> bytes:
    """Make an .npy that is unusual, or whose header, which Python reads as its own text, is damaged."""
    array: Array = np.load(io.BytesIO(data))
    if chance.random() < 0.3:
        unusual = [np.full(array.shape, Attack()), array.astype(">f4"), array.T.copy().T, array * 1j, array.astype(str)]
        return npy(chance.choice(unusual))
    tree = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    header = edited(json.dumps(tree).encode(), chance).replace(b"[", b"(").replace(b"]", b",)")
    length = len(header) % 2**16
    return data[:8] + length.to_bytes(2, "little") + header.replace(b"false", b"False") + array.tobytes()


def zipped(compression: int, **arrays: bytes) -> bytes:
    """Make an .npz, always with the same time in it."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), data, compression)
    return stream.getvalue()


def damaged_npz(data: bytes, chance: Random) -> bytes:
    """Make an .npz with a damaged member or a damaged directory, or one so large that it is a bomb."""
    if chance.random() < 0.05:
        x, y = np.zeros((10**5, 1000), bool), np.arange(10**5) % 3
        return zipped(zipfile.ZIP_DEFLATED, x=npy(x), y=npy(y))
    arrays = {name: npy(array) for name, array in np.load(io.BytesIO(data)).items()}
    name = chance.choice(["x", "y", "../x", "", "\n", "é", "__class__", "x.npy"])
    arrays[name] = damaged_npy(arrays.get(name, arrays["y"]), chance)
    data = zipped(chance.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), **arrays)
    return chance.choice([data, damaged(data, chance, data.find(b"PK\1\2"))])


def damaged_parquet(data: bytes, chance: Random) -> bytes:
    """Damage a Parquet file in its first page, in the description at its end, or in the length of that."""
    end = len(data) - 8
    start = end - int.from_bytes(data[end:-4], "little")
    return damaged(data, chance, *chance.choice([(4, 60), (start, end), (end, end + 4)]))


def make_tables(base: Path) -> None:
    """Write the good tables into the folder of a run."""
    x, y = np.arange(12).reshape(6, 2) / 7, np.arange(6) % 3
    np.save(base / "x.npy", x)
    np.save(base / "y.npy", y)
    (base / "my.npz").write_bytes(zipped(zipfile.ZIP_STORED, x=npy(x), y=npy(y)))
    (base / "my.csv").write_text("a,b,kind\n" + "0.5,1,cat\n-2,0,dog\n1e-3,7,a cow\n" * 2, encoding="utf-8")
    table = pyarrow.table({"a": x[:, 0], "b": y, "kind": y.astype(str)})
    compression = {"a": "snappy", "b": "gzip", "kind": "zstd"}
    pyarrow.parquet.write_table(table, base / "my.parquet", 2, compression=compression, use_dictionary=["kind"])


class Case(NamedTuple):
    """A copy of a good run with a damaged file in it; whether the file's checksum fits."""

    run: Path
    base: Path
    name: Path
    sealed: bool


def make_case(kind: str, chance: Random, bases: Path, run: Path) -> Case:
    """Copy a good run, and damage one of its files."""
    base, how = bases / ("stack" if "stack" in kind else "single"), chance.random()
    shutil.copytree(base, run)
    pattern, damage, _ = KINDS[kind]
    good = chance.choice(sorted(base.glob(pattern)))
    sealed = damage is damaged_arrays and how < 0.4
    data = resealed(good, chance) if sealed else (damage if how < 0.6 else damaged)(good.read_bytes(), chance)
    name = good.relative_to(base)
    (run / name).write_bytes(data)
    return Case(run, base, name, sealed)


def require(condition: bool, what: str) -> None:
    """Raise an AssertionError unless a condition holds."""
    if not condition:
        raise AssertionError(what)


def check_refusal(text: str, place: str = "") -> None:
    """Check that an error is one short line that names the file or its folder, and not about memory."""
    require(place in text, f"a message that does not name the file: {text}")
    require(len(text.splitlines()) == 1 and len(text) < 2000, f"a message of more than a line, or a long one: {text}")
    # Python's parser has this name for parentheses that nest too deep, too.
    require(not re.search(r"(?<!be read \()MemoryError|allocate", text), f"memory that was not there: {text}")


def refusal(call: Callable[..., object], *arguments: Any, place: Path) -> Exception | None:
    """Return the error with which a call refuses a file, if it does."""
    try:
        call(*arguments)
    except (ValueError, OSError) as error:
        check_refusal(str(error), str(place))
        return error
    return None


def command(*arguments: object) -> None:
    """Run the command line, which may refuse in a line."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()) as printed:
        try:
            code: Any = main([*map(str, arguments)])
        except SystemExit as stop:
            code = stop.code
    refusals = [line for line in printed.getvalue().splitlines() if "error: " in line]
    require(code in (0, 1, 2) and len(refusals) == (code > 0), f"{arguments}: exit code {code}; {printed.getvalue()}")
    for line in refusals:
        check_refusal(line)


# How runs are made and resumed: what follows, down to use_checkpoint, knows.


def new_training(name: str) -> minnet.training.Training:
    """Make the training of a good run, as it begins."""
    arguments = build_parser().parse_args([*FLAGS.split(), SEEDS[name]])
    return build.make_training(arguments, build.read_dataset(arguments))


def make_run(run: Path) -> None:
    """Make the folder of a run that is interrupted in its third epoch, always with the same times in it."""
    steps, backward = itertools.count(), minnet.Network.backward

    def counted(*arguments: Any) -> Any:
        if next(steps) == 9:
            signal.raise_signal(signal.SIGINT)
        return backward(*arguments)

    ticking = mock.patch("time.perf_counter", side_effect=itertools.count(step=0.25))
    with mock.patch.object(minnet.Network, "backward", counted), ticking, contextlib.redirect_stderr(io.StringIO()):
        main([*FLAGS.split(), SEEDS[run.name], "--out", str(run)])


def resume(run: Path, copied: Path) -> bytes:
    """Go on with a copy of a run; return the weights that it ends with."""
    shutil.copytree(run, copied)
    command("train", "--resume", copied, "--quiet")
    return (copied / "model.safetensors").read_bytes()


def use_checkpoint(case: Case, with_command: bool) -> None:
    """Load a checkpoint into a training, which goes on from there, or is as it was."""
    if with_command:
        end = (case.base.with_name(f"{case.base.name}, resumed") / "model.safetensors").read_bytes()
        require(resume(case.run, case.run / "resumed") == end or case.sealed, "a run that was resumed ends elsewhere")
    training, good = new_training(case.base.name), case.base / case.name
    (before,) = {*checkpoints(case.base)} - {good}
    load_checkpoint(before, training)
    refused = refusal(load_checkpoint, case.run / case.name, training, place=case.run)
    again = save_checkpoint(case.run / "again", training).read_bytes()  # equal states are equal files
    if refused:
        require(again == before.read_bytes(), "a checkpoint that is refused changes the training")
        raise refused
    require(case.sealed or again == good.read_bytes(), "another state loads")
    training.run()


def use_model(case: Case, with_command: bool) -> None:
    """Load a model or stack, and predict with it."""
    path, again, samples = case.run / case.name, case.run / "again", case.run / "samples.csv"
    if with_command:
        names = minnet.load_dataset("iris").feature_names
        samples.write_text(",".join(names) + "\n5,3,1,0.5\n6,3,4,1\n", encoding="utf-8")
        command("predict", path, samples, "--proba")
    model = minnet.load(path)
    minnet.save(again, model)  # equal models are equal files
    require(case.sealed or again.read_bytes() == (case.base / case.name).read_bytes(), "another model loads")
    model.network.predict_proba(np.ones((2, model.network.D)))


def use_run(case: Case, with_command: bool) -> None:
    """Read a run folder in all ways."""
    ways = (folder.read_config, folder.read_metrics, report.show)
    errors = [refusal(read, case.run, place=case.run) for read in ways]
    if with_command:
        command("compare", case.run, case.base, "--out", case.run / "compare.png")
        config = {} if errors[0] else folder.read_config(case.run)
        if all(len(str(config.get(setting))) <= 4 for setting in COSTLY):
            resume(case.run, case.run / "resumed")
    report.compare([report.read_run(case.run), report.read_run(case.base)])
    for error in filter(None, errors):
        raise error


def use_table(case: Case, with_command: bool) -> None:
    """Read a table, and number its classes."""
    arrays = case.name.suffix in (".npy", ".npz")
    path = f"{case.run}/x.npy,{case.run}/y.npy" if case.name.suffix == ".npy" else str(case.run / case.name)
    table = tables.read_table(path, None if arrays else "kind")
    build.number_classes(table.labels, path)
    labels = [] if table.labels is None else table.labels.tolist()
    require(table.x.dtype == np.float64 and bool(np.isfinite(table.x).all()), "a table of other than finite numbers")
    require(table.x.shape == (len(labels), len(table.feature_names)), "shapes that do not fit")
    require(all(type(label) is str and label for label in labels), "labels that are no text")


KINDS: dict[str, tuple[str, Callable[..., bytes], Callable[[Case, bool], None]]] = {
    "model": ("model.safetensors", damaged_arrays, use_model),
    "checkpoint": ("checkpoints/*", damaged_arrays, use_checkpoint),
    "stack": ("stack.safetensors", damaged_arrays, use_model),
    "stack-checkpoint": ("checkpoints/*", damaged_arrays, use_checkpoint),
    "config.json": ("config.json", edited, use_run),
    "results.json": ("results.json", edited, use_run),
    "metrics.csv": ("metrics.csv", damaged_cells, use_run),
    "csv": ("my.csv", damaged_cells, use_table),
    "npz": ("my.npz", damaged_npz, use_table),
    "npy": ("[xy].npy", damaged_npy, use_table),
    "parquet": ("my.parquet", damaged_parquet, use_table),
}


def try_case(kind: str, number: int, seed: int, out: Path) -> tuple[str, str]:
    """Try a case; one that fails, or ends the process, leaves its folder. Return its kind and what came of it."""
    run = out / f"{kind}-{number}"
    case = make_case(kind, Random(f"{seed} {kind} {number}"), out / "good", run)  # noqa: S311 - it is to be repeated
    ran.clear()
    faulthandler.dump_traceback_later(10 * SECONDS, exit=True, file=2)  # a hang ends the process
    since, outcome = time.process_time(), "failed"
    try:
        refused = refusal(KINDS[kind][2], case, number % COMMAND_EVERY == 0, place=run)
        require(not ran, f"code was run: {ran}")
        require(time.process_time() - since < SECONDS, f"it takes {time.process_time() - since:.1f} seconds")
        outcome = "refused" if refused else "loaded"
        shutil.rmtree(run)
    except Exception:  # whatever it is, it is the finding
        (run / "error.txt").write_text(traceback.format_exc(), encoding="utf-8", errors="replace")
    faulthandler.cancel_dump_traceback_later()
    return kind, outcome


def limit() -> None:
    """Give this process little memory beyond what it has with all imported, tell minnet, and watch what is run."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    vars(tables)["free_memory"] = lambda: MEMORY / 2
    warnings.simplefilter("ignore", RuntimeWarning)  # weights and losses may be as large as floats are, and add up
    sys.addaudithook(lambda event, _: ran.append(event) if event in CODE else None)


def fuzz() -> int:
    """Try all cases, print what came of them, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000, help="how many, of all kinds together")
    parser.add_argument("--seed", type=int, default=0, help="determines the damage")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--kinds", default=",".join(KINDS), help="what to damage")
    parser.add_argument("--out", type=Path, help="where cases that fail are kept; by default a temporary folder")
    arguments = parser.parse_args()
    out = (arguments.out or Path(tempfile.mkdtemp(prefix="minnet-fuzz-"))).absolute()
    for name in SEEDS:
        make_run(out / "good" / name)
        resume(out / "good" / name, out / "good" / f"{name}, resumed")
    make_tables(out / "good" / "single")
    kinds, outcomes = arguments.kinds.split(","), Counter[tuple[str, str]]()
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn"), limit) as pool:
        cases = [(kinds[n % len(kinds)], n // len(kinds), arguments.seed, out) for n in range(arguments.cases)]
        futures = [pool.submit(try_case, *case) for case in cases]
        with contextlib.suppress(BrokenExecutor):  # the case has left its folder
            outcomes.update(future.result() for future in futures)
    for (kind, outcome), count in sorted(outcomes.items()):
        print(f"{count:6} {kind} {outcome}")
    print(f"peak memory of a process: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024} MiB")
    left = sorted(run.name for run in out.iterdir() if run.name != "good")
    if left:
        print(f"FAILED, kept in {out}; without error.txt it ended the process, or hung:", *left, sep="\n")
        return 1
    shutil.rmtree(out)
    print("nothing failed")
    return 0


if __name__ == "__main__":
    sys.exit(fuzz())
