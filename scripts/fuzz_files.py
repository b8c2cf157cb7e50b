"""What does minnet make of files that are damaged, or written to do harm? Each must load, or be refused in one line.

Good files of each kind are damaged: bytes anywhere, fields of headers, and what stands behind a checksum, which is then
made to fit. A case fails, and is kept, if anything but a ValueError or OSError of one line that names the file comes
out, if what loads is not what was saved, if a command leaves with another exit code than 0 or 1, if it takes long or
much memory, or if it runs code, hangs or ends the process. The seed determines every case.
"""
# ruff: noqa: PT018, S101 - it asserts, as tests do

import argparse
import contextlib
import faulthandler
import io
import itertools
import json
import math
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas
import polars
import pyarrow.csv
import pyarrow.parquet
import safetensors.numpy
import sklearn.metrics  # noqa: F401 - before memory is limited, as is the next

import minnet.plots
from minnet.cli.main import main
from minnet.data import tables
from minnet.data.columns import Column
from minnet.runs import job, reading
from minnet.runs.checkpoints import checkpoints, load_checkpoint, save_checkpoint
from minnet.runs.config import Config
from minnet.support import machine
from minnet.support.files import checksum, read_arrays

SECONDS, MEMORY = 5.0, 2**30  # what a case may take
COMMANDS = 0.1  # share of the cases that try the command line, too
COSTLY = re.compile(rb'"(epochs|hidden)": \[?\s*\d{3}')  # however long a configuration says to train, minnet does
CODE = {"os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect"}
ran: list[str] = []  # which of them were
chance = Random()  # noqa: S311 - it is to be repeated: each case gives it a seed
pick = chance.choice

SETTINGS = """{"dataset": "iris", "epochs": 4, "hidden": [6], "normalize": "batch", "dropout": 0.2, "patience": 2,
    "optimizer": "adam", "weight_decay": 0.01, "label_smoothing": 0.1, "class_weight": "1,2,1", "schedule": "cosine",
    "clip_norm": 1}"""
GRIDS = {"single": "{}", "stack": '{"lr": [0.01, 0.02], "seed": [0, 1]}', "folds": "{}"}
TABLE = "table.csv"  # that the folds learn, beside the good runs
GRID = '{"seed": [0, 1, 2], "lr": [0.1, 1], "momentum": [0.5, 0], "weight_decay": [0, 0.1], "hidden": [[2], [3]]}'
VALUES = r"""[null, true, false, "", "x", "0", "Linear", "a\nb", "\u0000\u001b[2J\u2028", "\ud800", "@LONG", "@DEEP",
    "@BIG", [], {}, [[]], [null], ["a"], [1, 2], {"type": "Linear", "D": 4, "H": 1e12}, {"type": "Linear", "D": 3,
    "H": 3}, "|O", "f8,O", "<U0", "4f8", ">f8", "<M8[s]", "\"", " ", "a\"b", "1e999", "1,5", "0x1", "١", "1_0",
    "-2.5"]"""
INTEGERS = "0, -1, 1, 3, 7, 1000000000000, 9223372036854775808, -9223372036854775808"
NUMBERS = [10**400, *json.loads(f"[{INTEGERS}, 0.5, -0.0, 1e308, 5e-324, NaN, Infinity]")]
CELLS = [*map(str, json.loads(VALUES) + NUMBERS), "9" * 100_000]
BYTES = b"\n|\r|\t|,|;|{|}|\xff|\0\0\0\0|\xff\xff\xff\xff|(3,)|PK\1\2|PAR1|\xef\xbb\xbf|null|[[[[[[[[[[[[[[".split(b"|")
BYTES += [cell.encode(errors="surrogatepass") for cell in CELLS]
ATTACK = b"cos\nsystem\n(S'true'\ntR."  # runs code where objects of Python are read


def damaged(data: bytes) -> bytes:
    """Damage bytes in one to four places: anywhere, or where formats say what is in them, which is at their ends."""
    where = pick([slice(None), slice(60), slice(-1000, None)])
    for _ in range(pick([1, 2, 3, 4])):
        at = pick(range(len(data) + 1)[where])
        end = at + pick([0, 1, 1, 2, 4, 8, 60])
        old = data[at:end]
        lie = (2 ** chance.randrange(65) - 1).to_bytes(8, "little")  # about a length or a position
        new = pick([lie[: len(old)], chance.randbytes(len(old)), pick(BYTES), old * 2, b""])
        data = data[:at] + new + data[end:] * (chance.random() < 0.9)
    return data


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Give every place in a tree of JSON, as a container and a key."""
    for key in tree if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from places(tree[key])


def edited(data: bytes) -> bytes:
    """Change one to three places of a JSON object, also to what Python's own json cannot write."""
    tree = json.loads(data)
    for _ in range(pick([1, 1, 1, 2, 3])):
        node, key = pick([*places(tree)])
        repeated = [node[key]] * pick([1, 2, 100])
        value = pick([*json.loads(VALUES), *NUMBERS, repeated])
        if isinstance(node, dict) and chance.random() < 0.2:
            node[str(value)] = node.pop(key)
        else:
            node[key] = value
    depth = pick([30, 900, chance.randint(960, 1000), 10**5])
    text = json.dumps(tree).replace('"@DEEP"', "[" * depth + "]" * depth)
    return text.replace('"@BIG"', "9" * 5000).replace("@LONG", "é" * 5000).encode()


def damaged_grid(data: bytes) -> bytes:
    """Change a run's grid, of a product that may be beyond all memory, and how its networks are grouped."""
    values = json.loads(GRID)
    times = [1, 1, 1, 1, 0, 10**5]
    grid = {name: values[name] * pick(times) for name in chance.sample(sorted(values), 2)}
    count = math.prod(map(len, grid.values()))
    wrong = [[], [count, 0], [count + 1, -1], [count - 0.5, 0.5], count]
    sizes = pick([[count], [count], [1] * 4, pick(wrong)])
    return json.dumps(json.loads(data) | {"grid": grid, "stacks": sizes}).encode()


def changed(array: Any) -> Any:
    """Change an array's dtype, shape and size, or one of its values or more."""
    size, shape = array.size, array.shape
    retyped = array.astype(pick("efdbqQ?"))  # NumPy's letters for floats of three sizes, integers, bool
    resized = np.resize(array, pick([0, 1, size, size + 1, (1, *shape), (*shape, 1), shape[::-1]]))
    with contextlib.suppress(OverflowError, ValueError):  # a NaN is no integer
        array.flat[chance.randrange(size) :: pick([1, size])] = pick(NUMBERS)
    return pick([array, array, retyped, resized])


def unlearned(header: dict[str, Any]) -> None:
    """Change what a model file says was learned of its columns: how many, what they are called, how many values."""
    each = pick(header["preprocessing"])
    k, many = chance.randrange(len(each)), pick([0, 1, 2, 60, 3000, 10**5])
    column, words = each[k], [f"{n:06}" for n in range(many)]
    longer = {"name": pick("aé") * pick([1, 10**6]), "values": words}
    kinds: list[dict[str, Any]] = [{"kind": "number", "fill": pick(NUMBERS)}, {"kind": "category", "other": True}]
    column |= pick([longer, {"values": words[:3]}, {"name": ""}, *kinds, {"missing": True}, {"fill": pick(NUMBERS)}])
    each[k : k + 1] = pick([[column], [column], [], [column] * 2, [column | {"name": word} for word in words]])


def resealed(path: Path) -> bytes:
    """Change the header or an array of an array file, and make its checksum fit."""
    header, arrays = read_arrays(path)
    name = pick(sorted(arrays))
    if "preprocessing" in header and chance.random() < 0.4:
        unlearned(header)
    text = json.dumps(header)
    if chance.random() < 0.5:
        text = edited(text.encode()).decode()
    else:
        array = changed(arrays.pop(name))
        arrays[pick([name, name, name, name, "x", "optimizer.x", "history.lr", "\n", ""])] = array
    with contextlib.suppress(ValueError, RecursionError):  # of what no checksum can be made
        text = f'{text[:-1]}, "sha256": "{checksum(json.loads(text), arrays)}"}}'
    return bytes(safetensors.numpy.save(arrays, {"minnet": text}))


def damaged_arrays(data: bytes) -> bytes:
    """Damage the header of safetensors, and its length, which is what the file begins with."""
    end = 8 + int.from_bytes(data[:8], "little")
    text = edited(data[8:end])
    start = len(text).to_bytes(8, "little")
    return pick([start, damaged(start)]) + text + data[end:]


def damaged_cells(data: bytes) -> bytes:
    """Change cells, rows and columns of a table in text, and how it is written."""
    rows = [line.split(",") for line in data.decode().splitlines()]
    for _ in range(pick([0, 1, 2, 3])):
        k = chance.randrange(5)
        cell = [pick(CELLS)]
        many = range(pick([0, 0, 2, 1000, 10**5 + 1]))
        for row in pick([rows[:1], [pick(rows)], rows, rows[1:]]):
            row[k : k + 1] = pick([cell, cell, [*map(str, many)]])
    comma = pick(",,,,;\t|")
    end = pick(["\n", "\r\n", "\r"])
    return end.join(map(comma.join, rows)).encode(pick(["utf-8", "utf-8", "utf-8-sig", "utf-16"]), "surrogatepass")


def damaged_npy(data: bytes) -> bytes:
    """Make an .npy that is unusual, or whose header, which Python reads as its own text, is damaged."""
    array, stream = np.load(io.BytesIO(data)), io.BytesIO()
    if chance.random() < 0.3:
        bomb = np.zeros((10**5, 1000), bool)  # zipped it is small
        np.save(stream, pick([array.astype(">f4"), array.T.copy().T, array * 1j, array.astype(str), bomb]))
        attack = data[:128].replace(b"'<f8'", b"'|O' ") + ATTACK
        return pick([stream.getvalue(), attack])
    text = json.dumps({"descr": array.dtype.str, "fortran_order": False, "shape": array.shape})
    header = edited(text.encode()).replace(b"[", b"(").replace(b"]", b",)").replace(b"false", b"False")
    length = (len(header) % 2**16).to_bytes(2, "little")
    return data[:8] + length + header + data[128:]


def damaged_npz(data: bytes) -> bytes:
    """Make an .npz with a damaged member, or of other members."""
    stream, good = io.BytesIO(), zipfile.ZipFile(io.BytesIO(data))
    members = {name: good.read(name) for name in good.namelist()}
    name = pick([*members, "../x.npy", ".npy", "\n.npy", "é.npy", "__class__.npy", "x.npy.npy"])
    members[name] = damaged_npy(members.get(name, members["y.npy"]))
    with zipfile.ZipFile(stream, "w") as archive:
        for name, member in members.items():
            archive.writestr(zipfile.ZipInfo(name), member, pick([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
    return stream.getvalue()


def make_case(kind: str, number: int, seed: int, out: Path) -> tuple[Path, Path, bytes]:
    """Copy a good run, and damage a file; return both, and what the file was, or nothing if its checksum fits."""
    chance.seed(f"{seed} {kind} {number}")
    pattern, damage, _ = KINDS[kind]
    run = out / f"{kind}-{number}"
    shutil.copytree(out / "good" / pick(sorted(GRIDS)), run)
    file = pick(sorted(run.glob(pattern)))
    good, sealed = file.read_bytes(), damage is damaged_arrays and chance.random() < 0.6
    file.write_bytes(resealed(file) if sealed else pick([damage, damaged])(good))
    return run, file, b"" if sealed else good


def check_refusal(text: str, place: str) -> None:
    """Check that an error is one short line that names the file or its folder, and not about memory."""
    assert place in text, f"a message that does not name {place}: {text}"
    assert text.isprintable() and len(text) < 2000, f"a message of more than a line, or a long one: {text}"
    # Python's parser has this name for parentheses that nest too deep, too.
    assert not re.search(r"(?<!be read \()MemoryError|allocate", text), f"memory that was not there: {text}"


def strange(n: int) -> Any:
    """Make a column of n rows for a data frame, of a dtype that pandas has, or of none."""
    numbers = chance.choices([0, 1, -1, 2.5, 1e308, math.nan, math.inf, 2**70, 1j], [4, 4, 4, 4, 1, 2, 1, 1, 1], k=n)
    words = chance.choices(["a", "b", "", "NA", None, "x\ny", "1,5", "\ud800"], [9, 9, 1, 1, 1, 1, 1, 1], k=n)
    objects = chance.choices([None, b"a", (1, 2), [1], {}, Ellipsis, math.nan, pandas.NA, pandas.NaT, 7, "w"], k=n)
    dtype = pick(["float16", "int8", "uint64", "bool", "Int64", "boolean", "string", "category", "datetime64[s]",
        "datetime64[ns, UTC]", "timedelta64[ns]", "complex128", "Sparse[float]", "period[D]", "interval", "object",
        "float64[pyarrow]", "string[pyarrow]", "S4", "V4", "M8[D]"])  # fmt: skip
    values = pick([numbers, words, objects, [0.5] * n, [*range(n)]])
    with contextlib.suppress(Exception):  # what pandas cannot make
        return pandas.Series(values).astype(dtype)
    return pandas.Series(values, dtype=object)


def strange_frame(kinds: list[Any], n: int) -> Any:
    """Make a data frame of n rows, most of whose columns are as usual: of pandas, polars or pyarrow."""
    usual: dict[str, list[Any]] = {"number": [*map(float, range(n))], "category": chance.choices("pqr", k=n)}
    usual["date"] = [*pandas.date_range("2024-05-01", periods=n)]
    made = {name: pandas.Series(usual[kind]) if chance.random() < 0.8 else strange(n) for name, kind in kinds}
    frame, names = pandas.DataFrame(made), [*made]
    if chance.random() < 0.2:
        frame.columns = pick([pandas.MultiIndex.from_product([["a"], names]), [names[0]] * len(names), names[::-1]])
    with contextlib.suppress(Exception):  # what others cannot hold
        made_of: Any = pick([pandas.DataFrame, polars.from_pandas, pyarrow.Table.from_pandas])
        return made_of(frame)
    return frame


def use_frame(run: Path, file: Path, good: bytes) -> None:
    """Make a data set of a data frame that is strange, and predict with one."""
    model, problems = minnet.load(run / "model.safetensors"), list[str]()
    kinds: list[Any] = model.preprocessing.kinds
    others: list[Any] = [(name, pick(["number", "category", "date"])) for name in (1, None, "é", " ")]
    learned, asked = strange_frame([*pick([kinds, others]), ("y", "category")], 40), strange_frame(kinds, 5)
    for call in (lambda: minnet.Dataset.from_frame(learned, "y"), lambda: check_answer(model, asked)):
        try:
            call()
        except (TypeError, ValueError, FloatingPointError) as error:
            problems.append(str(error))
    if problems:
        raise ValueError(f"{run}: {' and '.join(problems)}")


def check_answer(model: minnet.Model, x: Any) -> None:
    """Check that a model's answer is one."""
    y = model.predict_proba(x, average=True)
    assert y.ndim == 2 and np.isfinite(y).all() and np.allclose(y.sum(axis=1), 1, atol=1e-5), "no probabilities"


def command(*arguments: object) -> None:
    """Run the command line, which may refuse in a line."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = main([*map(str, arguments)])
    assert code in (0, 1), f"{arguments}: exit code {code}; {printed.getvalue()}"
    if code:
        check_refusal(printed.getvalue().splitlines()[-1], "minnet: error: ")


def resumed(run: Path, name: str) -> bytes:
    """Go on with a copy of a run, inside it; return the weights that it ends with."""
    shutil.copytree(run, run / name)
    command("train", "--resume", run / name, "--quiet")
    return (run / name / "model.safetensors").read_bytes()


def use_checkpoint(run: Path, file: Path, good: bytes) -> None:
    """Load a checkpoint into a training, which goes on from there, or is as it was."""
    if chance.random() < COMMANDS:
        end = (run / "resumed" / "model.safetensors").read_bytes()
        assert resumed(run, "again") == end or not good, "a run that was resumed ends elsewhere"
    training = job.Job.of_run(run, job.Options(), {}).groups[0].training()
    (before,) = {*checkpoints(run)} - {file}
    load_checkpoint(before, training)
    expected = before.read_bytes()
    (run / "copied").mkdir()
    try:
        load_checkpoint(file, training)
        expected = good
    finally:
        state = save_checkpoint(run / "copied", training).read_bytes()  # equal states are equal files
        assert expected in (b"", state), "another state loads, or a checkpoint that is refused changes the training"
    training.run()


def use_model(run: Path, file: Path, good: bytes) -> None:
    """Load a model or stack, and predict with it."""
    if chance.random() < COMMANDS:
        command("predict", file, next(run.glob("samples.*")), "--proba")
    model = minnet.load(file)
    minnet.save(run / "copied", model)
    assert good in (b"", (run / "copied").read_bytes()), "another model loads"
    values = {"category": (np.array([-1, 0, 1]), ("p", "never seen")), "number": (np.array([math.nan, 0.5, 1]), None)}
    columns = [Column(name, *values.get(kind, values["number"])) for name, kind in model.preprocessing.kinds]
    if model.columns.is_plain:
        columns = [column._replace(values=np.ones(3)) for column in columns]
    with contextlib.suppress(FloatingPointError):  # numbers may be too large
        check_answer(model, columns)


def use_run(run: Path, file: Path, good: bytes) -> None:
    """Read a run folder in all ways."""
    if chance.random() < COMMANDS:
        command("compare", run, run / "resumed", "--out", run / "compare.png")
        if not COSTLY.search((run / "config.json").read_bytes()):
            resumed(run, "again")
    reading.show(run)
    reading.compare([reading.read_run(run), reading.read_run(run / "resumed")])
    with contextlib.suppress(FileNotFoundError):  # of the data, whose name may be damaged
        job.Job.of_run(run, job.Options(), {})


def use_table(run: Path, file: Path, good: bytes) -> None:
    """Read a table with its classes."""
    pair = file.suffix == ".npy"
    path = f"{run}/x.npy,{run}/y.npy" if pair else str(file)
    table = tables.read_table(path, None if pair else "y")
    for column in table.columns:
        assert column.values.shape == table.t.shape == table.rows.shape, "shapes that do not fit"
        if column.words is None:
            assert column.values.dtype == np.float64, "numbers of another type"
            assert not np.isinf(column.values).any(), "a number that is not finite"
        else:
            assert all(type(word) is str and word for word in column.words), "categories that are no text"
            assert ((column.values >= -1) & (column.values < len(column.words))).all(), "categories that are none"
    assert all(type(name) is str and name for name in table.class_names), "names of classes that are no text"
    assert {*table.t.tolist()} == {*range(len(table.class_names))}, "classes that do not occur"


KINDS = {
    "model": ("[ms]*.safetensors", damaged_arrays, use_model),
    "frame": ("my.csv", damaged_cells, use_frame),
    "checkpoint": ("checkpoints/*", damaged_arrays, use_checkpoint),
    "config": ("**/config.json", edited, use_run),
    "grid": ("config.json", damaged_grid, use_run),
    "results": ("**/results.json", edited, use_run),
    "metrics": ("**/metrics.csv", damaged_cells, use_run),
    "csv": ("my.csv", damaged_cells, use_table),
    "npz": ("my.npz", damaged_npz, use_table),
    "npy": ("[xy].npy", damaged_npy, use_table),
    "parquet": ("my.parquet", damaged, use_table),
}


def try_case(case: tuple[str, int, int, Path]) -> str:
    """Try a case; one that fails, or ends the process, leaves its folder. Return its kind and what came of it."""
    kind, (run, file, good) = case[0], make_case(*case)
    ran.clear()
    faulthandler.dump_traceback_later(10 * SECONDS, exit=True, file=2)  # a hang ends the process
    until, outcome = time.process_time() + SECONDS, "loaded"
    try:
        try:
            KINDS[kind][2](run, file, good)
        except (ValueError, OSError) as error:
            check_refusal(str(error), str(run))
            outcome = "refused"
        assert not ran, f"code was run: {ran}"
        assert time.process_time() < until, f"it takes more than {SECONDS} seconds"
        shutil.rmtree(run)
    except (Exception, SystemExit):  # whatever it is, it is the finding
        outcome = "failed"
        (run / "error.txt").write_text(traceback.format_exc(), errors="replace")
    faulthandler.cancel_dump_traceback_later()
    return f"{kind} {outcome}"


def limit() -> None:
    """Give this process little memory beyond what it has with all imported, tell minnet, and watch what is run."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)
    vars(machine)["free_memory"] = lambda: MEMORY / 2
    warnings.simplefilter("ignore", RuntimeWarning)  # weights and losses may be as large as floats are, and add up
    sys.addaudithook(lambda event, _: ran.append(event) if event in CODE else None)


def write_table(path: Path) -> str:
    """Write a table with missing cells, words and dates, and return its name."""
    rows = ["a,b,day,y"]
    for n in range(60):
        number = chance.choice(["", f"{chance.random():.3f}"])
        rows.append(f"{number},{'pqrs'[min(n % 7, 3)]},2024-05-{n // 2 + 1:02},c{n % 3}")
    path.write_text("\n".join([*rows, ""]), encoding="utf-8")
    return str(path)


def make_run(run: Path) -> None:
    """Make the folder of a run that is interrupted in its third epoch, always with the same times, and tables in it."""

    def interrupt(history: Any) -> None:
        if len(history.epoch) == 2:
            signal.raise_signal(signal.SIGINT)

    options = job.Options(out=str(run), checkpoint_every=1, quiet=True, show=interrupt)
    vars(time)["perf_counter"] = itertools.count(step=0.25).__next__
    with contextlib.redirect_stderr(io.StringIO()):
        settings = json.loads(SETTINGS)
        if run.name == "folds":
            settings |= {"dataset": write_table(run.parent / TABLE), "target": "y", "folds": 3}
        job.begin(Config(**settings), json.loads(GRIDS[run.name]), options)
    x = np.arange(24).reshape(6, 4) / 7
    y = np.arange(6) % 3
    np.savez(run / "my.npz", x=x, y=y)
    zipfile.ZipFile(run / "my.npz").extractall(run)
    (run / "my.csv").write_text(
        "a,b,c,d,y\n0.5,1,red,2024-05-01,cat\n-2,,blue,2024-05-02,dog\n1e-3,7,,,a cow\n.5,1,red,,cat\n0,0,NA,,dog\n"
    )
    table, compression = pyarrow.csv.read_csv(run / "my.csv"), {"a": "snappy", "b": "gzip", "y": "zstd"}
    pyarrow.parquet.write_table(table, run / "my.parquet", 2, compression=compression, use_dictionary=["y"])
    resumed(run, "resumed")
    folds = run.name == "folds"
    shutil.copy(run.parent / TABLE if folds else run / "x.npy", run / f"samples{'.csv' if folds else '.npy'}")
    if folds:  # which leave no model when they are interrupted
        shutil.copy(run / "resumed" / "model.safetensors", run)


def fuzz() -> None:
    """Try all cases, and print what came of them; the exit code is 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="how many, of all kinds together")
    parser.add_argument("--seed", type=int, default=0, help="determines the damage")
    parser.add_argument("--kinds", nargs="+", default=[*KINDS], help="what to damage")
    parser.add_argument("--out", type=Path, default="fuzz", help="where cases that fail are kept")
    arguments = parser.parse_args()
    out, numbers = arguments.out, range(arguments.cases // len(arguments.kinds))
    for name in GRIDS:
        make_run(out / "good" / name)
    outcomes = Counter[str]()
    with ProcessPoolExecutor(None, multiprocessing.get_context("spawn"), limit) as pool:
        cases = itertools.product(arguments.kinds, numbers, [arguments.seed], [out])
        with contextlib.suppress(BrokenExecutor):  # the case has left its folder
            outcomes.update(pool.map(try_case, cases))
    for outcome, count in sorted(outcomes.items()):
        print(f"{count:6} {outcome}")
    print(f"peak memory of a process: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024} MiB")
    left = sorted({*os.listdir(out)} - {"good"})
    if left:
        sys.exit("\n".join([f"FAILED, kept in {out}; without error.txt it ended the process, or hung:", *left]))
    shutil.rmtree(out)
    print("nothing failed")


if __name__ == "__main__":
    fuzz()
