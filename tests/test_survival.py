"""Do runs that are killed survive, and would ``scripts/kill_runs.py``, which kills hundreds of them, notice if not?"""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from minnet.cli import main

SCRIPT = Path(__file__).parent.parent / "scripts" / "kill_runs.py"


@pytest.fixture
def kill_runs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kill_runs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_killed_runs_end_as_if_they_had_never_been_killed() -> None:
    """One run of each kind; the script itself kills 200."""
    done = subprocess.run([sys.executable, SCRIPT, "--runs", "8"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    ended, kills = done.stdout.splitlines()[-1].removesuffix(" times").split(", which they were ")
    assert ended == "all 8 runs ended byte for byte as if they had never been killed"
    assert int(kills) >= 7


def test_a_kill_that_came_too_late_is_not_counted_and_tried_again_sooner(
    kill_runs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags, kill, moments = "iris --epochs 60", kill_runs.kill, list[float]()
    assert main(["train", *flags.split(), "--quiet", "--out", str(tmp_path / "whole")]) == 0

    def late(process: subprocess.Popen[bytes], folder: Path, within: float, rng: np.random.Generator) -> None:
        moments.append(within)
        if len(moments) <= 7:
            kill_runs.end_well(process)
        else:
            kill(process, folder, 0, rng)

    monkeypatch.setattr(kill_runs, "kill", late)
    killed = kill_runs.try_one(flags, kill_runs.contents(tmp_path / "whole"), 1.0, tmp_path / "r", [0, 0])
    assert killed
    assert "over" not in killed
    np.testing.assert_allclose(moments[:8], 0.7 ** np.arange(8))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("weights", "config.json is not that of the run that was never killed"),
        ("missing", "stack.safetensors is missing"),
        ("leftover", ".model.safetensors.part was left behind"),
        ("half", "model.safetensors: .* incomplete"),
    ],
)
def test_the_script_notices_a_loss(damage: str, message: str, kill_runs: ModuleType, tmp_path: Path) -> None:
    flags = "iris --epochs 2"
    assert main(["train", *flags.split(), "--quiet", "--out", str(tmp_path / "whole")]) == 0
    whole = kill_runs.contents(tmp_path / "whole")
    if damage == "weights":  # those of another run
        flags += " --seed 2"
    if damage == "missing":
        whole["stack.safetensors"] = b"of it"

    folder = tmp_path / "r"
    assert main(["train", *flags.split(), "--quiet", "--out", str(folder)]) == 0
    if damage == "leftover":
        (folder / ".model.safetensors.part").touch()
    if damage == "half":
        model = folder / "model.safetensors"
        model.write_bytes(model.read_bytes()[:-100])
    with pytest.raises((kill_runs.Lost, ValueError), match=message):  # noqa: PT012 - as the script does
        kill_runs.examine(folder)
        kill_runs.check_whole(folder, whole)
