"""Does every setting go from its flag into a configuration, into JSON and back unchanged, and is nonsense refused?"""

import functools
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minnet.cli import main
from minnet.cli.flags import UNTYPED, parted
from minnet.cli.main import build_parser
from minnet.cli.train import SIZE
from minnet.data.named import DATASETS
from minnet.runs.config import (
    COLUMN,
    DATASET,
    FIELDS,
    PATH,
    SWITCH,
    TEXT,
    VARIED,
    Config,
    Kind,
    check_optional,
    flag,
    settings_of,
)  # fmt: skip
from minnet.support import expect

KINDS: dict[str, Kind] = {name: each.metadata["kind"] for name, each in FIELDS.items()}
WORDS = st.text("abcÄ _.=-", min_size=1, max_size=8).filter(str.strip).filter("--".__ne__)  # which ends the flags


def values_of(kind: Kind) -> st.SearchStrategy[Any]:
    """Give valid values of a kind, as far as its bounds."""
    if kind is DATASET:
        return st.sampled_from([*DATASETS, "my data.csv", "x.npy,y.npy", "openml:iris", "openml:61"])
    if kind is SWITCH:
        return st.booleans()
    if kind in (TEXT, COLUMN, PATH):
        return WORDS
    assert isinstance(kind.check, functools.partial)
    rule, limits = kind.check.func, kind.check.keywords
    if rule is expect.integer:
        return st.integers(limits.get("least", 1), limits.get("most"))
    if rule is expect.number:
        low, high = (limits.get(inner, limits.get(outer)) for inner, outer in (("least", "above"), ("most", "below")))
        bounds: dict[str, Any] = {"exclude_min": "above" in limits, "exclude_max": "below" in limits}
        return st.floats(low, high, allow_nan=False, allow_infinity=False, **bounds)
    if rule is expect.one_of:
        return st.sampled_from(limits["choices"])
    (each,) = kind.check.args
    if rule is check_optional:
        return st.none() | values_of(each)
    return st.lists(values_of(each), max_size=4).map(tuple).filter(lambda values: values != ("none",))


def invalid(kind: Kind) -> Any:
    """Give a value that a kind refuses."""
    if isinstance(kind.check, functools.partial):
        if kind.check.args:
            wrong = invalid(kind.check.args[0])
            return wrong if kind.check.func is check_optional else (wrong,)
        return {"N": kind.check.keywords.get("least", 1) - 1, "X": math.nan}.get(kind.metavar, "none of them")
    return {DATASET: "irys", SWITCH: "on"}.get(kind, "")


CONFIGS = st.fixed_dictionaries({}, optional={name: values_of(kind) for name, kind in KINDS.items()})
FEW = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def parsed(arguments: list[str]) -> Config:
    """Read a configuration from the flags of ``minnet train``."""
    typed = {name: value for name, value in vars(build_parser().parse_args(["train", *arguments])).items()
             if name in FIELDS and value is not UNTYPED}  # fmt: skip
    return Config(**{name: value[0] if name in VARIED and isinstance(value, tuple) else value
                     for name, value in typed.items()})  # fmt: skip


def written(config: Config) -> list[str]:
    """Write what differs from the defaults as arguments of ``minnet train``."""
    values = {name: value for name, value in vars(config).items() if value != FIELDS[name].default}
    return [config.dataset, *(flag(name) if value is True else f"{flag(name)}={KINDS[name].write(value)}"
                              for name, value in values.items() if name != "dataset")]  # fmt: skip


@FEW
@given(CONFIGS)
def test_every_setting_goes_through_flags_and_json_unchanged(values: dict[str, Any]) -> None:
    config = Config(**values)
    assert {name: getattr(config, name) for name in values} == values
    assert parsed(written(config)) == config
    assert Config.from_json(json.loads(json.dumps(vars(config)))) == config


@pytest.mark.parametrize("name", FIELDS)
def test_each_setting_alone_is_read_back_from_its_flag(name: str) -> None:
    """So that none is passed over by chance."""
    kind, default = KINDS[name], FIELDS[name].default

    @settings(max_examples=30, deadline=None)
    @given(values_of(kind).filter(lambda value: value != default))
    def check(value: Any) -> None:
        config = Config(**{name: value})
        assert config != Config()
        assert len(written(config)) == 1 + (name != "dataset")
        assert parsed(written(config)) == config

    check()


def refusal(name: str, value: Any) -> str | None:
    """Return what a configuration says against a value; None if it takes it."""
    try:
        Config(**{name: value})
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize("name", FIELDS)
def test_what_a_kind_refuses_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(ValueError, match=flag(name)) as caught:
        Config(**{name: invalid(KINDS[name])})
    assert "\n" not in str(caught.value)
    for strange in ([[1]], {}, object(), "x" * 9000, -1, math.inf, "a\nb", b"", 10**400):
        said = refusal(name, strange)
        assert said is None or (said.startswith(flag(name)) and "\n" not in said)
        assert len(said or "") < 1000 or (name, strange) == ("dataset", "x" * 9000)


@pytest.mark.parametrize("name", FIELDS)
def test_what_a_kind_refuses_is_wrong_usage_on_the_command_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    kind = KINDS[name]
    typed = [f"{flag(name)}={kind.write(invalid(kind))}"]
    if name == "dataset":
        typed = [invalid(kind)]
    with pytest.raises(SystemExit) as left:
        main(["train", *([] if name == "dataset" else ["iris"]), *typed])
    out, err = capsys.readouterr()
    assert (left.value.code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith(f"minnet train: error: argument {'DATASET' if name == 'dataset' else flag(name)}: ")
    assert not os.listdir()


def test_a_size_of_memory_is_read_with_its_unit() -> None:
    for text, size in (("500M", 500 * 2**20), ("2G", 2**31), ("0.5k", 512), ("7", 7)):
        assert SIZE.check("", SIZE.parse(text)) == size
    for text in ("0", "-1", "lots", "G", "", "inf", "nan", "1T", "5KM"):
        with pytest.raises(ValueError, match="expected a finite number above 0"):
            SIZE.check("", SIZE.parse(text))


def test_a_rate_that_is_not_given_is_the_optimizers_usual_one() -> None:
    for optimizer, lr in (("sgd", 0.05), ("adam", 0.003)):
        config = Config(optimizer=optimizer)
        assert (config.lr, config.learning_rate) == (None, lr)
        assert Config(optimizer=optimizer, lr=3.0).learning_rate == 3


def test_settings_are_what_the_file_says_with_all_values_of_what_networks_vary() -> None:
    assert settings_of({"lr": None, "optimizer": [1], "grid": [2]}) == {"lr": None, "optimizer": [1], "grid": [2]}
    assert settings_of({"seed": 1, "lr": 1.0, "grid": {"lr": [1.0, 2.0]}})["lr"] == [1.0, 2.0]


def test_a_run_keeps_the_rate_that_it_was_trained_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And is resumed with it, should another one be usual by then."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", "iris", "--optimizer", "adam", "--epochs", "1", "--out", "r", "--quiet"]) == 0
    content = json.loads(Path("r/config.json").read_text())
    assert (content["lr"], Config.from_json(content).learning_rate) == (0.003, 0.003)


def test_whoever_says_nothing_gets_a_falling_rate_and_the_best_weights() -> None:
    """As was measured; and that neither is wanted can be said."""
    config = parsed(["iris"])
    assert (config.schedule, config.patience, config.monitor) == ("cosine", 20, "loss")
    plain = parsed(["iris", "--schedule", "constant", "--patience", "none"])
    assert (plain.schedule, plain.patience) == ("constant", None)
    assert Config.from_json(json.loads(json.dumps(vars(plain)))) == plain


def test_all_epochs_are_done_and_the_last_weights_kept_with_patience_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = ["train", "moons", "--lr", "0.5", "--epochs", "30", "--hidden", "16", "--quiet", "--no-baseline"]
    assert main([*flags, "--patience", "none", "--out", "all"]) == 0
    assert main([*flags, "--out", "best"]) == 0
    assert json.loads(Path("all/config.json").read_text())["patience"] is None
    every, best = (json.loads(Path(run, "results.json").read_text())["ended"] for run in ("all", "best"))
    assert every["text"] == "all 30 epochs done"
    assert best["best_epoch"] < 30
    os.remove("all/results.json")
    capsys.readouterr()
    assert main([*flags, "--patience", "none", "--resume", "all"]) == 0
    with pytest.raises(SystemExit, match="2"):
        main([*flags, "--patience", "20", "--resume", "all"])
    assert "--resume takes the settings of the run, patience null: leave out --patience" in capsys.readouterr().err


# What contradicts each setting of a run of `minnet train my.csv` with these flags, and nothing else.
RUN = ["my.csv", "--target", "c", "--hidden", "8", "--patience", "9", "--schedule", "cosine", "--epochs", "2"]
OTHERS = {
    "target": "b", "ignore": "a", "sample_weight": "a", "validation": 0.3, "split_seed": 4, "hidden": "8,8",
    "activation": "tanh", "normalize": "batch", "dropout": 0.2, "label_smoothing": 0.1, "class_weight": "balanced",
    "epochs": 3, "batch_size": 4, "optimizer": "adam", "lr": "0.1", "momentum": "0.5", "nesterov": None,
    "weight_decay": "0.1", "schedule": "step", "lr_every": 3, "lr_gamma": 0.4, "warmup": 1, "lr_patience": 2,
    "categorical": "a", "missing": "refuse", "min_class": 2, "group": "a", "time": "a", "folds": 3, "repeats": 2,
    "fold": 1, "refit": None, "no_baseline": None, "clip_norm": 1,
    "patience": 4, "monitor": "accuracy", "dtype": "float64", "seed": 3,
}  # fmt: skip


def test_a_resumed_run_refuses_every_flag_that_contradicts_it_and_takes_those_that_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my.csv").write_text("a,b,c\n" + "".join(f"{i},{-i},{'xy'[i % 2]}\n" for i in range(20)))
    assert main(["train", *RUN, "--out", "r", "--quiet"]) == 0
    os.remove("r/results.json")
    before = {path: path.read_bytes() for path in Path("r").rglob("*") if path.is_file()}
    assert set(OTHERS) == set(FIELDS) - {"dataset", "test"}  # which may have been moved
    capsys.readouterr()
    for name, value in {**OTHERS, "seeds": 2}.items():
        with pytest.raises(SystemExit) as left:
            main(["train", "--resume", "r", flag(name) if value is None else f"{flag(name)}={value}"])
        out, err = capsys.readouterr()
        assert (left.value.code, out, len(err.splitlines())) == (2, "", 1)
        assert f"leave out {flag(name)}, or begin a new run" in err
        assert "None" not in err
    assert {path: path.read_bytes() for path in Path("r").rglob("*") if path.is_file()} == before
    same = ["--momentum", "0.9", "--lr", "0.05", "--seed", "0", "--batch-size", "32", "--normalize", "none"]
    assert main(["train", *RUN, *same, "--resume", "r", "--quiet"]) == 0


def test_a_resumed_sweep_refuses_other_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sweep = ["--lr", "0.1,0.2", "--seeds", "2", "--seed", "3"]
    assert main(["train", "iris", *sweep, "--epochs", "1", "--out", "r", "--quiet"]) == 0
    os.remove("r/results.json")
    for flags in (["--lr", "0.1"], ["--lr", "0.1,0.3"], ["--lr", "0.2,0.1"], ["--seeds", "2"], ["--seeds", "3"],
                  ["--seed", "3"], ["--momentum", "0.9,0.5"]):  # fmt: skip
        with pytest.raises(SystemExit) as left:
            main(["train", "--resume", "r", *flags])
        err = capsys.readouterr().err
        assert (left.value.code, len(err.splitlines())) == (2, 1)
        assert f"leave out {flags[0]}, or begin a new run" in err
    assert main(["train", "iris", "--resume", "r", *sweep, "--quiet"]) == 0


def test_flags_are_those_of_the_settings() -> None:
    typed = build_parser().parse_args(["train", "iris", "--lr=0.1,0.2", "--momentum=0.5", "--hidden=3"])
    settings = {name: value for name, value in vars(typed).items() if name in FIELDS and value is not UNTYPED}
    plain, values = parted(settings, seeds=3)
    assert plain == {"dataset": "iris", "lr": 0.1, "momentum": 0.5, "hidden": (3,)}
    assert values == {"lr": (0.1, 0.2), "seed": (0, 1, 2)}
