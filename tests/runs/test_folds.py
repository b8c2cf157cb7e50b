"""Do the networks of folds, as one stack, each learn what a single run on that split would?"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from minnet.data.columns import Column
from minnet.data.table import Table
from minnet.history import History
from minnet.layers import Array
from minnet.runs import build
from minnet.runs.build import first_width, make_dataset, make_datasets, make_network, make_training
from minnet.runs.checkpoints import restore, state
from minnet.runs.config import Config
from minnet.runs.folds import FoldTraining, narrow, widen
from minnet.runs.sweep import Result, bytes_of_split, bytes_of_training, grid, groups, stacks, sweep

N = 203


def make_table(**more: Any) -> Table:
    """Make samples with numbers, missing cells, and a category of which some folds have no row to learn from."""
    rng = np.random.default_rng(4)
    t = rng.choice(3, N, p=(0.5, 0.3, 0.2))
    numbers = rng.normal(size=(N, 3)) + t[:, np.newaxis]
    numbers[rng.random((N, 3)) < 0.05] = np.nan
    words = rng.integers(0, 3, N)
    words[[5, 50]], words[7] = 3, 4
    columns = [Column(f"x{d}", numbers[:, d]) for d in range(3)] + [Column("word", words, ("a", "b", "c", "d", "e"))]
    return Table("made", columns, t, ("u", "v", "w"), rows=np.arange(N), **more)


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Table:
    """Let configurations have these samples."""
    made = make_table()
    monkeypatch.setattr(build, "read", lambda config: made)
    return made


BASE = Config(folds=5, epochs=6, hidden=(7,), dtype="float64", batch_size=16, lr=0.1)
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two layers": {"hidden": (8, 5), "activation": "tanh"},
    "no layer": {"hidden": ()},
    "batch norm and dropout": {"normalize": "batch", "dropout": 0.3},
    "layer norm": {"normalize": "layer", "weight_decay": 0.01},
    "early stopping": {"epochs": 20, "patience": 2, "lr": 0.3},
    "by accuracy": {"epochs": 20, "patience": 3, "monitor": "accuracy"},
    "class weights": {"class_weight": "balanced", "label_smoothing": 0.1},
    "own class weights": {"class_weight": "v=3"},
    "plateau": {"schedule": "plateau", "lr_patience": 1, "epochs": 12, "lr": 0.5},
    "cosine": {"schedule": "cosine", "warmup": 2, "nesterov": True},
    "clipping": {"clip_norm": 0.3},
    "adam": {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.1},
    "repeats": {"repeats": 2, "folds": 3},
    "step": {"schedule": "step", "lr_every": 2, "momentum": 0.9},
    "batches of all": {"batch_size": 500},
    # Adam makes steps of rounding errors where batch norm makes a gradient 0: they come with layer norm here.
    "adam and all": {
        "normalize": "layer", "dropout": 0.2, "epochs": 20, "patience": 3, "monitor": "f1", "class_weight": "balanced",
        "optimizer": "adam", "weight_decay": 0.01, "schedule": "cosine", "warmup": 1, "clip_norm": 1, "hidden": (8, 5),
    },
    "sgd and all": {
        "normalize": "batch", "dropout": 0.2, "epochs": 20, "patience": 3, "class_weight": "w=2", "momentum": 0.9,
        "weight_decay": 0.01, "schedule": "plateau", "lr_patience": 1, "clip_norm": 1, "label_smoothing": 0.1,
    },
}  # fmt: skip


def check_equal(base: Config, configs: list[Config], result: Result) -> None:
    """Hold that each network is the single run of its configuration."""
    wide = max(dataset.D for dataset in make_datasets(configs))
    for s, config in enumerate(configs):
        dataset = make_dataset(config)
        single = make_training([config], [dataset], stacked=False)
        single.run()
        H = first_width(config, dataset)
        np.testing.assert_allclose(narrow(result.theta[s], H, dataset.D, wide), single.kept_theta, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(
            widen(narrow(result.theta[s], H, dataset.D, wide), H, dataset.D, wide), result.theta[s]
        )
        own = result.history.member(s)
        epochs = len(single.history.epoch)
        for name, column in vars(single.history).items():
            if name != "seconds":
                theirs = getattr(own, name)[: len(column)]
                np.testing.assert_allclose(theirs, column, rtol=1e-9, atol=1e-9, err_msg=name)
        assert own.kept[-1] == single.history.kept[-1]
        assert epochs == base.epochs or base.patience


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("weighted", [False, True])
def test_folds_as_a_stack_are_single_runs(name: str, weighted: bool, table: Table, monkeypatch: Any) -> None:
    if weighted:
        heavy = replace(table, sample_weight=np.random.default_rng(1).random(N))
        monkeypatch.setattr(build, "read", lambda config: heavy)
    base = replace(BASE, **SETTINGS[name])
    configs = grid(base, fold=range(1, (base.folds or 1) * base.repeats + 1), seed=(3, 4))
    datasets = make_datasets(configs)
    assert stacks(configs, datasets) == [len(configs)]
    assert len({dataset.D for dataset in datasets}) > 1  # some folds have no row of a word to learn from
    check_equal(base, configs, sweep(configs, datasets))


@pytest.mark.parametrize("order", ["groups", "time"])
@pytest.mark.parametrize(
    "name", ["plain", "class weights", "early stopping", "no layer", "adam", "adam and all", "sgd and all"]
)
def test_folds_by_group_or_time_are_single_runs_in_stacks_of_their_own(
    order: str, name: str, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    by: dict[str, Any] = {order: rng.integers(0, 40, N) if order == "groups" else rng.random(N)}
    ordered = replace(table, **by)
    monkeypatch.setattr(build, "read", lambda config: ordered)
    base = replace(BASE, folds=3, **SETTINGS[name])
    configs = grid(base, fold=(1, 2, 3), seed=(3, 4))
    datasets = make_datasets(configs)
    assert len({len(dataset.train.x) for dataset in datasets}) == 3
    assert stacks(configs, datasets) == [2, 2, 2]
    check_equal(base, configs, sweep(configs, datasets))


def test_the_weights_of_columns_that_fill_up_stay_0(table: Table) -> None:
    for settings in ({}, {"optimizer": "adam", "weight_decay": 0.1}, {"weight_decay": 0.1, "nesterov": True}):
        configs = grid(replace(BASE, **settings), fold=range(1, 6))
        datasets = make_datasets(configs)
        training = make_training(configs, datasets, stacked=True)
        assert isinstance(training, FoldTraining)
        training.run()
        W = training.network.layers[0].W
        for s, dataset in enumerate(datasets):
            assert (W[s, dataset.D :] == 0).all()
            assert (W[s, : dataset.D] != 0).any(axis=1).all()


def test_a_stack_that_goes_on_is_what_it_would_have_been(table: Table) -> None:
    configs = grid(replace(BASE, normalize="batch", dropout=0.2, patience=3), fold=range(1, 6))
    datasets = make_datasets(configs)
    whole = make_training(configs, datasets, stacked=True)
    whole.run()
    begun = make_training(configs, datasets, stacked=True)
    begun.run(lambda history: setattr(begun, "interrupted", len(history.epoch) == 2))
    assert begun.place == (2, 1)
    arrays, values = state(begun)
    other = make_training(configs, datasets, stacked=True)
    restore(other, arrays, values)
    other.run()
    for (name, one), two in zip(state(whole)[0].items(), state(other)[0].values(), strict=True):
        if name != "history.seconds":
            assert one.tobytes() == two.tobytes(), name


def test_a_stack_that_does_not_fit_is_divided(table: Table) -> None:
    configs = grid(BASE, fold=range(1, 6), seed=range(4))
    datasets = make_datasets(configs)
    whole = sweep(configs, datasets)
    shared, each = bytes_of_training(make_network(BASE, datasets[0]), 16, datasets[0])
    limit = shared + 9 * each + 4 * bytes_of_split(datasets[0])
    sizes = stacks(configs, datasets, limit)
    assert sizes == [9, 9, 2]  # nine networks may learn from the rows of four folds
    assert [len(group.configs) for group in groups(configs, datasets, sizes)] == sizes
    assert stacks(configs, datasets, jobs=3) == [7, 7, 6]
    with pytest.raises(ValueError, match="training even one of these networks takes"):
        stacks(configs, datasets, 1000)
    parts = sweep(configs, datasets, limit)
    np.testing.assert_allclose(parts.theta, whole.theta, rtol=1e-9, atol=1e-12)
    assert parts.ended == whole.ended


def test_splits_of_different_sizes_are_no_stack(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    later = replace(table, time=np.arange(N, dtype=float))
    monkeypatch.setattr(build, "read", lambda config: later)
    configs = grid(replace(BASE, folds=2), fold=(1, 2))
    with pytest.raises(ValueError, match="a stack: expected training splits of one size, got 58, 115"):
        make_training(configs, make_datasets(configs), stacked=True)
    with pytest.raises(ValueError, match="--fold goes with --folds"):
        grid(Config(), fold=(1, 2))


def test_one_fold_alone_is_a_single_run_and_there_are_so_many(table: Table) -> None:
    tested = [make_dataset(replace(BASE, fold=fold)).rows["test"] for fold in range(1, 6)]
    assert sorted(np.concatenate(tested)) == list(range(N))
    with pytest.raises(ValueError, match=r"--fold, of 5 folds × 2: expected an integer from 1 to 10, got 11"):
        make_dataset(replace(BASE, repeats=2, fold=11))


def test_a_network_that_diverges_leaves_the_others_alone(table: Table) -> None:
    configs = grid(replace(BASE, dtype="float32"), fold=range(1, 6), lr=(0.1, 1e30))
    history: History = sweep(configs, make_datasets(configs)).history
    diverged: Array = history.diverged()
    assert diverged.tolist() == [False, True] * 5
