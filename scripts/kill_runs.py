"""Is anything lost when a training run is killed? Runs killed at random moments, resumed, and held against whole ones.

Each kind of run is trained once without a disturbance. Then runs of the same settings are killed by SIGKILL, which no
program can catch, at a random moment between the first trace of them, their configuration, and their end; half of them
are killed again after they were resumed. A kill that came too late is not counted: the run is killed once more, and
sooner. Whatever is left of a run must load, and at its end it must have the very bytes of the undisturbed one: weights,
pictures, report and results, and metrics but for the seconds.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from minnet import load
from minnet.runs.checkpoints import checkpoints
from minnet.runs.cross_validation import REFIT
from minnet.runs.folder import CONFIG, RUN_FILES, STACK_FILE, read_config
from minnet.runs.sweep import BASELINE
from minnet.support.files import read_arrays

EVERYTHING = "--normalize batch --dropout 0.2 --schedule cosine --warmup 2 --clip-norm 1 --label-smoothing 0.1"
KINDS = {
    "iris, SGD": "iris --epochs 60 --schedule constant --patience none",
    "digits, Adam and all": f"digits --epochs 25 --optimizer adam --class-weight balanced {EVERYTHING}",
    "digits, early stopping": "digits --epochs 300 --lr 0.3 --patience 8 --schedule plateau --lr-patience 3",
    "digits, stack of 8": f"digits --epochs 10 --seeds 8 --patience 4 {EVERYTHING}",
    "digits, two processes": f"digits --epochs 10 --lr 0.05,0.2 --seeds 3 --jobs 2 {EVERYTHING}",
    "digits, 0.7 M weights": "digits --hidden 800,800 --epochs 8 --normalize layer --optimizer adam",
    "table, folds": f"TABLE --epochs 150 --folds 3 --seeds 2 --refit --patience 40 --hidden 16 {EVERYTHING}",
    "table, folds by group": "TABLE --epochs 100 --folds 3 --repeats 2 --group who --hidden 8 --jobs 2 --dropout 0.2",
}
PLACES = ("beginning", "training", BASELINE, REFIT, "writing")  # the parts of a run's life, one after the other


class Lost(Exception):
    """What a killed run must not be."""


def write_table(path: Path) -> None:
    """Write a table with missing cells, words of which some folds lack one, dates, and groups of uneven sizes."""
    rng, rows = np.random.default_rng(0), ["size,weight,colour,seen,who,kind"]
    for n in range(240):
        kind, cell = rng.integers(3), rng.normal(size=2)
        words = ["red", "blue", "", f"rare{n}" if n % 80 == 0 else "green"]
        numbers = [f"{value + kind:.3f}" if rng.random() > 0.05 else "NA" for value in cell]
        seen = f"2024-05-{rng.integers(1, 31):02}"
        rows.append(",".join([*numbers, rng.choice(words), seen, f"w{int(rng.exponential(9))}", "abc"[kind]]))
    path.write_text("\n".join([*rows, ""]), encoding="utf-8")


def minnet_train(*arguments: object) -> subprocess.Popen[bytes]:
    """Start ``minnet train``."""
    command = [sys.executable, "-m", "minnet", "train", *map(str, arguments), "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def end_well(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has done what it should."""
    errors = process.communicate()[1].decode()
    if process.returncode or errors:
        raise Lost(f"exit code {process.returncode}: {errors.strip()}")


def kill(process: subprocess.Popen[bytes], folder: Path, within: float, rng: np.random.Generator) -> None:
    """Kill a process at a random moment of so many seconds after its run is there."""
    while not (folder / CONFIG).exists() and process.poll() is None:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, within))
    process.kill()
    process.communicate()


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of each file of a run, without the seconds that were measured."""
    files = {path.name: path.read_bytes() for path in folder.glob("[!.]*") if path.is_file()}
    files["metrics.csv"] = re.sub(rb",[^,\n]*\n", b"\n", files["metrics.csv"])  # the last column
    files["results.json"] = re.sub(rb'"seconds": [\d.e-]+', b"", files["results.json"])
    return files


def examine(folder: Path) -> str:
    """Load all there is of a killed run, and tell in which part of its life it was killed."""
    read_config(folder)
    for path in checkpoints(folder):
        read_arrays(path)
    for name in ("model.safetensors", STACK_FILE):
        if (folder / name).exists():
            load(folder / name)
    if (folder / "results.json").exists():
        return "over"
    if any((folder / name).exists() for name in RUN_FILES[2:]):  # metrics.csv is there from the first checkpoint on
        return "writing"
    begun = [group for group in (REFIT, BASELINE) if checkpoints(folder, f"{group}*")]
    return begun[0] if begun else "training" if checkpoints(folder) else "beginning"


def check_whole(folder: Path, whole: dict[str, bytes]) -> None:
    """Raise Lost if a run that is over is other than the undisturbed one."""
    for name, content in sorted((found := contents(folder)).items()):
        if content != whole.get(name):
            raise Lost(f"{name} is not that of the run that was never killed")
    if missing := whole.keys() - found.keys():
        raise Lost(f"{', '.join(sorted(missing))} is missing")
    if leftovers := [*folder.rglob(".*")]:
        raise Lost(f"{leftovers[0].name} was left behind")


def try_one(flags: str, whole: dict[str, bytes], seconds: float, folder: Path, seed: list[int]) -> list[str]:
    """Kill a run alive, once or more, and let it end; return where in its life it was killed each time.

    Raises
    ------
    Lost
        If something of it was lost.
    """
    rng, killed, place, within = np.random.default_rng(seed), list[str](), "over", seconds
    while place == "over":
        shutil.rmtree(folder, ignore_errors=True)
        kill(minnet_train(*flags.split(), "--out", folder), folder, within, rng)
        place, within = examine(folder), 0.7 * within
    while place != "over":
        killed.append(place)
        if rng.random() < 0.5:
            end_well(minnet_train("--resume", folder))
            break
        kill(minnet_train("--resume", folder), folder, 1.5 * seconds, rng)  # it takes a while to begin
        place = examine(folder)
    check_whole(folder, whole)
    return killed


def main() -> int:
    """Kill as many runs as asked for, and print what became of them; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="how many runs to kill, of all kinds together")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=[*KINDS], help="which kinds of run")
    arguments = parser.parse_args()
    base = Path(tempfile.mkdtemp(prefix="kill_runs-"))
    write_table(base / "table.csv")
    kinds = {kind: KINDS[kind].replace("TABLE", f"{base}/table.csv --target kind") for kind in arguments.kinds}
    wholes, seconds = {}, {}
    for kind, flags in list(kinds.items())[: arguments.runs]:
        folder = base / f"whole {kind}"
        process = minnet_train(*flags.split(), "--out", folder)
        while not folder.exists() and process.poll() is None:
            time.sleep(0.001)
        since = time.monotonic()
        end_well(process)
        seconds[kind] = time.monotonic() - since
        wholes[kind] = contents(folder)

    def one(n: int) -> tuple[str, list[str], str]:
        kind = list(wholes)[n % len(wholes)]
        folder = base / str(n)
        try:
            return kind, try_one(kinds[kind], wholes[kind], seconds[kind], folder, [arguments.seed, n]), ""
        except (Lost, OSError, ValueError) as error:
            return kind, [], f"{kind}, {folder}: {error}"

    with ThreadPoolExecutor(arguments.jobs) as pool:
        outcomes = list(pool.map(one, range(arguments.runs)))
    print(f"{'kind of run':24}  runs  kills  {'  '.join(PLACES)}  lost")
    for kind in wholes:
        mine = [(killed, lost) for of, killed, lost in outcomes if of == kind]
        where = Counter(place for killed, _ in mine for place in killed)
        counts = "  ".join(f"{where[place]:{len(place)}}" for place in PLACES)
        lost = sum(bool(lost) for _, lost in mine)
        print(f"{kind:24}  {len(mine):4}  {where.total():5}  {counts}  {lost:4}")
    problems = [lost for _, _, lost in outcomes if lost]
    kills = sum(len(killed) for _, killed, _ in outcomes)
    well = (
        f"all {len(outcomes)} runs ended byte for byte as if they had never been killed, which they were {kills} times"
    )
    print("\n".join(problems) or well)
    if not problems:
        shutil.rmtree(base)
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
