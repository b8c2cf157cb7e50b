"""Does the project as a newcomer meets it hold together: README, scripts, imports, names?"""

import argparse
import ast
import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "minnet").rglob("*.py"))


def run_script(name: str, *arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-W", "error", str(ROOT / "scripts" / name), *arguments]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def test_the_readmes_library_example_runs() -> None:
    examples = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (example,) = [example for example in examples if "load_dataset" in example]
    printed = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], check=True, capture_output=True, text=True
    ).stdout
    assert float(printed.split("test accuracy ")[1].split()[0]) > 0.93
    assert printed.endswith("(64, 64) (4810,)\n")
    assert len(example.splitlines()) <= 12


def test_the_readmes_wrong_layer_gets_the_report_that_the_readme_shows(tmp_path: Path) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (layer,) = re.findall(r"```python\n(import numpy.*?)```", text, re.DOTALL)
    (report,) = re.findall(r"```\n(MyLinear, layer.*?)```", text, re.DOTALL)
    (tmp_path / "my_layers.py").write_text(layer, encoding="utf-8")
    command = [sys.executable, "-m", "minnet", "check", "my_layers.py:MyLinear"]
    run = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert run.returncode == 1
    rounding = re.compile(r"\d×\d +\d\.\de-16")  # which shape has the largest rounding error is up to the machine
    assert rounding.sub("", run.stdout) == rounding.sub("", report)


def test_what_the_readme_points_to_is_there() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / target).exists(), target
    listed = set(re.findall(r"^\| \[`(minnet/[\w/]+\.py)`\]", text, re.MULTILINE))
    assert listed == {str(file.relative_to(ROOT)) for file in PACKAGE if not file.stem.startswith("__")}


def test_the_readme_shows_each_files_own_question() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for name, question in re.findall(r"\| \[`minnet/([\w/]+)\.py`\]\([^)]*\) \| (.*?\?) \|", text):
        docstring = ast.get_docstring(ast.parse((ROOT / "minnet" / f"{name}.py").read_text(encoding="utf-8")))
        assert docstring is not None
        assert docstring.split("\n")[0].replace("``", "`").startswith(question), name


@pytest.mark.parametrize(("script", "accuracy"), [("train_iris", 0.9), ("train_digits", 0.94), ("train_spiral", 0.95)])
def test_the_scripts_train_and_are_short(script: str, accuracy: float, tmp_path: Path) -> None:
    printed = run_script(f"{script}.py", cwd=tmp_path)
    found = re.search(r"test accuracy\s+(\d\.\d+)", printed)
    assert found is not None
    assert float(found[1]) >= accuracy
    assert os.listdir(tmp_path) == (["spiral.png"] if script == "train_spiral" else [])
    assert len((ROOT / "scripts" / f"{script}.py").read_text(encoding="utf-8").splitlines()) <= 40


def test_the_benchmark_times_who_agrees_and_names_who_is_missing(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no PyTorch here')", encoding="utf-8")  # whether it is or not
    flags = ["--rounds", "2", "--epochs", "2", "--seconds", "0.01", "--threads", "1", "--only", "PyTorch"]
    flags += ["--only", "scikit-learn", "--only", "floor", "--json", "--picture", "ratios.png"]
    command = [sys.executable, "-W", "error", str(ROOT / "scripts" / "benchmark.py"), *flags]
    for workload in ("digits-adam", "iris-32"):
        command += ["--workload", workload]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    run = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    for results in json.loads(run.stdout).values():
        assert results["minnet"]["ratio"] == [1, 1, 1]
        assert results["PyTorch"] == {"missing": "not timed: no PyTorch here"}
        for name in ("minnet", "scikit-learn", "floor"):
            median, least, largest = results[name]["ratio"]
            assert 0 < least <= median <= largest
            assert min(results[name][key] for key in ("step_us", "trained_s", "peak_MiB")) > 0
            assert results[name]["threads"] == 1
    assert (tmp_path / "ratios.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("workload", "other"),
    [
        ("iris", "SGD(0.01, momentum=0.89)"),
        ("softreg-32", "SGD(0.011, momentum=0.9)"),
        ("digits-adam", "Adam(0.01, beta1=0.89)"),
    ],
)
def test_the_benchmark_refuses_a_contender_that_computes_something_else(
    workload: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        "import benchmark, minnet",
        "class Other(benchmark.Minnet):",
        "    def __init__(self, work):",
        "        super().__init__(work)",
        f"        self.optimizer = minnet.{other}",
    )
    (tmp_path / "planted.py").write_text("\n".join(lines), encoding="utf-8")
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_CORETYPE"):
        monkeypatch.setenv(variable, "")  # restored afterwards: the benchmark changes them
    for folder in (ROOT / "scripts", tmp_path):
        monkeypatch.syspath_prepend(folder)  # where the contenders' processes look, too
    for module in ("benchmark", "planted"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    benchmark, planted = importlib.import_module("benchmark"), importlib.import_module("planted")
    monkeypatch.setitem(benchmark.CONTENDERS, "planted", planted.Other)
    arguments = argparse.Namespace(rounds=1, epochs=1, seconds=0.01, threads=[1])
    results = benchmark.compare(workload, ["minnet", "scikit-learn", "planted"], arguments)
    assert results["planted"]["missing"].startswith("not timed: it computes something else (by ")
    assert results["scikit-learn"]["step_us"] > 0


def test_the_comparison_of_accuracies_prints_how_good_each_is_and_the_difference(tmp_path: Path) -> None:
    printed = run_script("compare_accuracy.py", "iris", "--seeds", "1", cwd=tmp_path)
    name, *figures = printed.splitlines()[1].split()
    ours, theirs, difference = map(float, figures)
    assert name == "iris"
    assert 0.9 < ours <= 1
    assert 0.9 < theirs <= 1
    assert difference == pytest.approx(ours - theirs, abs=1.6e-4)  # each of the three is rounded


def test_importing_minnet_imports_no_more_than_numpy() -> None:
    code = (
        "import sys, minnet; heavy = {'sklearn', 'scipy', 'matplotlib', 'rich', 'safetensors', 'importlib.metadata'};"
        "sys.exit(sorted(heavy & set(sys.modules)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).stderr == b""


def test_the_mathematics_imports_numpy_only_and_imports_point_one_way() -> None:
    order = [
        "support.text", "support.expect", "support.machine", "support.files",
        "layers", "output", "network", "optimizers", "schedules", "gradient_check", "data.dataset", "data.named",
        "training", "runs.model", "runs.folder", "plots", "runs.checkpoints", "runs.sweep", "data.tables",
        "runs.doctor", "runs.report", "runs.build", "runs.job",
        "lab.mistakes", "lab.extremes", "lab.trial", "lab.check", "lab.bugs", "cli.learn", "cli.main",
    ]  # fmt: skip
    for file in PACKAGE:
        name = ".".join(file.relative_to(ROOT / "minnet").with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in modules:
                top, _, rest = module.partition(".")
                if name in order[4:10] and top not in ("numpy", "minnet"):
                    assert top in sys.stdlib_module_names, f"{file.name} imports {module}"
                if top == "matplotlib":
                    assert name == "plots"
                if top == "minnet" and rest and name in order:
                    assert order.index(rest) < order.index(name), f"{file.name} imports {module}"


def test_nothing_with_pickle_in_it_is_used() -> None:
    for file in [*PACKAGE, *sorted((ROOT / "scripts").glob("*.py"))]:
        assert not re.search(
            r"pickle|joblib|np\.load\(|np\.save\(|\beval\(|\bexec\(", file.read_text(encoding="utf-8")
        ), file


def test_the_package_has_no_bare_assert() -> None:
    for file in PACKAGE:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        assert not any(isinstance(node, ast.Assert) for node in ast.walk(tree)), file


def test_ci_runs_the_readmes_test_command() -> None:
    (command,) = [
        line
        for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
        if ".venv/bin/python -m pytest" in line
    ]
    assert command.startswith("python3 -m venv .venv && ")
    assert "grep -m 1 'pytest' README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
