"""Does the project as a newcomer meets it hold together: README, scripts, imports, names?"""

import argparse
import ast
import graphlib
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from minnet import layers, load
from minnet.cli.main import build_parser
from minnet.history import History
from minnet.runs.config import FIELDS, flag
from minnet.runs.folder import RUN_FILES, STACK_FILE

ROOT = Path(__file__).parent.parent
PACKAGE = sorted((ROOT / "minnet").rglob("*.py"))
DOCUMENTS = ["README.md", *(f"docs/{file.name}" for file in sorted((ROOT / "docs").glob("*.md")))]
LESSON = ("layers", "output", "network", "optimizers", "schedules", "training", "history", "gradient_check")
STANDS_ON = {  # each room on those named, and on what these stand on
    "support": (),
    "layers": ("support",),
    "output": ("layers",),
    "network": ("output",),
    "optimizers": ("network",),
    "gradient_check": ("network",),
    "history": ("support",),
    "schedules": ("support",),
    "data": ("support",),
    "plots": ("history",),
    "training": ("optimizers", "gradient_check", "history", "schedules", "data"),
    "runs": ("training", "plots"),
    "lab": ("training",),
    "__init__": ("runs", "lab"),
    "cli": ("__init__",),
    "__main__": ("cli",),
}
MAY_ASK = {  # the lab: where what trained diverged, and whether its gradient is right
    ("runs.job", "", "lab.trace"),
    ("training", "train", "lab.trace"),
    ("training", "run", "lab.proof"),
}


def run_script(name: str, *arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-W", "error", str(ROOT / "scripts" / name), *arguments]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def blocks(document: str, language: str) -> list[str]:
    """Return the blocks of a language in a document."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL | re.M)
    return [block for name, block in found if name == language]


def question(module: Path) -> str:
    """Return the question that a module answers: its first sentence."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    asked, mark, _ = docstring.split("\n")[0].replace("``", "`").rpartition("?")
    return asked + mark


def questions(document: str) -> dict[str, str]:
    """Return the question of each file or folder of minnet that a document's tables list."""
    rows = re.findall(
        r"^\| \[`minnet/([\w/]+)(?:\.py)?`\]\([^)]*\) \| (.*) \|$", (ROOT / document).read_text(encoding="utf-8"), re.M
    )
    return {name.rstrip("/"): asked for name, asked in rows}


def test_the_readme_is_short_and_its_library_example_runs() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    (example,) = [example for example in blocks("README.md", "python") if "load_dataset" in example]
    assert len(example.splitlines()) <= 12
    (importing, tracing) = re.findall(r"`(from minnet import trace)`, then\n`(trace\(.*?\]?)`", text)[0]
    more = f"{importing}\nassert {tracing}.shape == (1257, 10)\nassert not hasattr(network.layers[0], 'dz')"
    program = [sys.executable, "-W", "error", "-c", example + more]
    printed = subprocess.run(program, check=True, capture_output=True, text=True).stdout
    assert float(printed.split("test accuracy ")[1].split()[0]) > 0.93
    assert printed.endswith("(64, 64) (4810,)\n")


def test_the_guides_library_example_runs(tmp_path: Path) -> None:
    (example,) = blocks("docs/using.md", "python")
    subprocess.run([sys.executable, "-W", "error", "-c", example], cwd=tmp_path, check=True)
    assert os.listdir(tmp_path) == ["mine.safetensors"]


def stable(report: str) -> str:
    """Take from a report what is up to the machine: which shape has the largest rounding error, and so the columns."""
    return re.sub(" +", " ", re.sub(r"\d×[\d×]+ +\d\.\de-16", "", report))


def test_the_readmes_wrong_layer_gets_the_report_that_the_readme_shows(tmp_path: Path) -> None:
    (layer,) = [example for example in blocks("README.md", "python") if "class MyLinear" in example]
    (report,) = [example for example in blocks("README.md", "") if example.startswith("MyLinear, layer")]
    (tmp_path / "my_layers.py").write_text(layer, encoding="utf-8")
    command = [sys.executable, "-m", "minnet", "check", "my_layers.py:MyLinear"]
    run = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert run.returncode == 1
    assert stable(run.stdout) == stable(report)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_points_to_is_there(document: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / document).read_text(encoding="utf-8")):
        file, _, heading = target.partition("#")
        found = (ROOT / document).parent / file if file else ROOT / document
        assert found.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.M)
            assert heading in [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings], target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_each_command_in_a_document_is_one(document: str) -> None:
    for line in "".join(blocks(document, "bash")).splitlines():
        program, *arguments = shlex.split(line, comments=True)
        if program == "minnet" and "--help" not in arguments:
            build_parser().parse_args(arguments)
        elif program == "python":
            assert (ROOT / arguments[0]).exists(), line


def test_the_readme_shows_the_questions_of_the_lesson_and_of_the_rooms() -> None:
    rooms = {folder.parent.name: question(folder) for folder in (ROOT / "minnet").glob("*/__init__.py")}
    lesson = {name: question(ROOT / "minnet" / f"{name}.py") for name in (*LESSON, "plots")}
    assert questions("README.md") == lesson | rooms


def test_the_list_of_rooms_shows_each_files_own_question() -> None:
    files = {str(file.relative_to(ROOT / "minnet").with_suffix("")): file for file in PACKAGE if file.stem[0] != "_"}
    assert questions("docs/rooms.md") == {name: question(file) for name, file in files.items()}
    assert all(asked.endswith("?") for asked in questions("docs/rooms.md").values())


def test_the_guide_names_every_flag_every_file_and_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "docs" / "using.md").read_text(encoding="utf-8")
    with pytest.raises(SystemExit, match="0"):
        build_parser().parse_args(["train", "--help"])
    flags = set(re.findall(r"^ +(--[\w-]+)", capsys.readouterr().out, re.M))
    assert {flag(name) for name in FIELDS if name != "dataset"} < flags
    for each in flags:
        assert f"`{each}`" in text, each
    for column in History().by_epoch():
        assert f"`{column}`" in text, column
    for file in (*RUN_FILES, STACK_FILE):
        assert f"`{file}`" in text, file


def test_the_whole_of_it_is_on_one_page_that_computes_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = ROOT / "scripts" / "one_page.py"
    assert len(page.read_text(encoding="utf-8").splitlines()) <= 100
    imported = [each for each, _ in imports(page)]
    assert set(imported) == {"numpy", "minnet"}
    assert "from minnet import load_dataset\n" in page.read_text(encoding="utf-8")
    monkeypatch.syspath_prepend(page.parent)
    monkeypatch.delitem(sys.modules, "one_page", raising=False)
    theta = importlib.import_module("one_page").main()
    (error, accuracy) = re.findall(r"\S+$", capsys.readouterr().out, re.M)
    assert float(error) < 1e-14
    subprocess.run(
        [sys.executable, "-m", "minnet", "train", "digits", "--quiet", "--out", "run"], cwd=tmp_path, check=True
    )
    trained = load(tmp_path / "run").network.theta
    assert theta.tobytes() == trained.tobytes()
    results = json.loads((tmp_path / "run" / "results.json").read_text(encoding="utf-8"))
    assert accuracy == f"{results['test_accuracy']:.4f}"


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
        f"        self.training.optimizer = self.training.overflows.optimizer = minnet.{other}",
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


def test_the_comparison_of_tables_prints_how_good_each_is_and_the_difference(tmp_path: Path) -> None:
    lines = (ROOT / "data" / "penguins.csv").read_text(encoding="utf-8").splitlines()
    own = tmp_path / "own.csv"  # its first row has no target: rows of the table are not those of the file
    own.write_text("\n".join([lines[0], "NA" + ",NA" * 7, *lines[1:]]), encoding="utf-8")
    printed = run_script("compare_tables.py", "iris", f"{own}:species", "--seeds", "1", cwd=tmp_path)
    for line, name, rows in zip(printed.splitlines()[2:], ("iris", "own"), (150, 344), strict=True):
        found, N, K, *figures = line.replace("±", "").split()
        assert (found, int(N), int(K)) == (name, rows, 3)
        ours, _, theirs, _, _, _, difference, _ = map(float, figures)
        assert min(ours, theirs) > 0.9
        assert difference == pytest.approx(ours - theirs, abs=1.6e-4)  # each of the three is rounded


def test_importing_minnet_imports_no_more_than_numpy() -> None:
    code = (
        "import sys, minnet; heavy = {'sklearn', 'scipy', 'matplotlib', 'rich', 'safetensors', 'importlib.metadata',"
        "'numpy.random', 'tempfile'};"
        "sys.exit(sorted(heavy & set(sys.modules)) or 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).stderr == b""


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """Give each module that a file imports, and in which function, "" for none; not what only types need."""
    modules = {".".join(each.relative_to(ROOT).with_suffix("").parts) for each in PACKAGE}

    def visit(node: ast.AST, function: str) -> Iterator[tuple[str, str]]:
        for child in ast.iter_child_nodes(node):
            match child:
                case ast.If(test=ast.Name("TYPE_CHECKING")):
                    pass
                case ast.Import():
                    yield from ((alias.name, function) for alias in child.names)
                case ast.ImportFrom():
                    for alias in child.names:
                        submodule = f"{child.module}.{alias.name}"
                        yield (submodule if submodule in modules else child.module or ""), function
                case ast.FunctionDef():
                    yield from visit(child, child.name)
                case _:
                    yield from visit(child, function)

    return visit(ast.parse(file.read_text(encoding="utf-8")), "")


def beneath(room: str) -> set[str]:
    """Return all rooms that a room stands on."""
    return set(STANDS_ON[room]).union(*map(beneath, STANDS_ON[room]))


@pytest.mark.parametrize("file", PACKAGE, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_go_down_only_and_reach_for_no_more_than_is_needed(file: Path) -> None:
    name = ".".join(file.relative_to(ROOT / "minnet").with_suffix("").parts)
    room = name.partition(".")[0]
    for module, function in imports(file):
        top, _, inner = module.partition(".")
        if top == "minnet":
            other = inner.partition(".")[0] or "__init__"
            asks = (name, function, inner) in MAY_ASK
            assert other in {room, *beneath(room)} or asks, f"{name} imports {module}"
            assert other != "plots" or function, f"{name} imports matplotlib, whether it draws or not"
        elif top not in sys.stdlib_module_names:
            allowed = top == "numpy" or (function and name not in LESSON)
            assert allowed or (name == "plots" and top == "matplotlib"), f"{name} imports {module}"
        assert top != "matplotlib" or name == "plots", f"{name} imports {module}"
        assert top != "argparse" or room == "cli", f"{name} imports {module}"


def test_no_file_imports_itself_by_way_of_others() -> None:
    graph = dict[str, set[str]]()
    for file in PACKAGE:
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        graph[name] = {module for module, _ in imports(file) if module.startswith("minnet.")}
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError


def test_arguments_of_the_command_line_end_at_its_door_and_layers_of_ones_own_have_equal_rights() -> None:
    classes = [each for each in vars(layers).values() if isinstance(each, type) and each.__module__ == layers.__name__]
    concrete = {each.__name__ for each in classes} - {"Layer"}
    for file in PACKAGE:
        name = ".".join(file.relative_to(ROOT / "minnet").with_suffix("").parts)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            named = getattr(node, "id", getattr(node, "attr", ""))
            assert named != "Namespace" or name.startswith("cli."), f"{name} knows of the command line"
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
                asked = {getattr(each, "id", getattr(each, "attr", "")) for each in ast.walk(node.args[1])}
                assert name not in LESSON[1:] or not asked & concrete, f"{name} asks for {asked & concrete}"


def test_nothing_with_pickle_in_it_is_used() -> None:
    attack = ROOT / "scripts" / "fuzz_files.py"  # makes such files, to see that they are refused
    for file in {*PACKAGE, *(ROOT / "scripts").glob("*.py")} - {attack}:
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
