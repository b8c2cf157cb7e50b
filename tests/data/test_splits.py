"""Is no row in two parts of a split, no group either, and nothing learned from later than what is tested?"""

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from minnet.data.splits import Rows, fold_rows, split_rows
from minnet.layers import Array

MANY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
SHARES = st.sampled_from([0.05, 0.15, 0.3, 0.6])
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def samples(draw: Any, most: int = 60) -> tuple[Array, Array]:
    """Give class numbers, each of which occurs, and a code for each row."""
    labels = draw(st.lists(st.integers(0, draw(st.integers(1, 4))), min_size=6, max_size=most))
    codes = draw(st.lists(st.integers(0, draw(st.integers(2, 30))), min_size=len(labels), max_size=len(labels)))
    return np.unique(labels, return_inverse=True)[1], np.array(codes)


def check(labels: Array, rows: Rows, all_rows: bool = True) -> None:
    """Hold that each row is in one part, that no part is empty, and that each class can be learned."""
    together = np.concatenate(list(rows.values()))
    assert len(set(together.tolist())) == len(together)
    assert all(map(len, rows.values()))
    if all_rows:
        assert set(together.tolist()) == set(range(len(labels)))
        assert set(labels[rows["train"]]) == set(labels)


def made(make: Any, *arguments: Any, **more: Any) -> Any:
    """Make a split; what cannot be split is passed over, if the message is one line that says what to do."""
    said = None
    try:
        return make(*arguments, **more)
    except ValueError as error:
        said = str(error)
    assert "\n" not in said
    assert "--" in said or "too few" in said
    return reject()


@MANY
@given(samples(), SEEDS, SHARES, st.booleans())
def test_each_row_is_in_one_part_with_all_classes(
    given: tuple[Array, Array], seed: int, validation: float, own: bool
) -> None:
    labels, _ = given
    rows = made(split_rows, labels, seed, validation, 0 if own else 0.15)
    assert list(rows) == ["train", "validation", "test"][: 3 - own]
    check(labels, rows)
    assert all(set(labels[part]) == set(labels) for part in rows.values())


@MANY
@given(samples(), SEEDS, SHARES, st.booleans())
def test_no_group_is_in_two_parts(given: tuple[Array, Array], seed: int, validation: float, own: bool) -> None:
    labels, groups = given
    rows = made(split_rows, labels, seed, validation, 0 if own else 0.15, groups=groups)
    assert list(rows) == ["train", "validation", "test"][: 3 - own]
    check(labels, rows)
    for one, other in itertools.combinations(rows.values(), 2):
        assert not set(groups[one]) & set(groups[other])


@MANY
@given(samples(), SEEDS, SHARES, st.booleans())
def test_nothing_is_learned_from_later_than_what_is_tested(
    given: tuple[Array, Array], seed: int, validation: float, own: bool
) -> None:
    labels, time = given
    rows = made(split_rows, labels, seed, validation, 0 if own else 0.15, time=time / 7)
    check(labels, rows)
    for earlier, later in itertools.pairwise(rows.values()):
        assert time[earlier].max() < time[later].min()  # rows of the same time are together


@MANY
@given(samples(), SEEDS, SHARES, st.integers(2, 5), st.integers(1, 3))
def test_folds_test_each_row_once_and_learn_from_equally_many(
    given: tuple[Array, Array], seed: int, validation: float, folds: int, repeats: int
) -> None:
    labels, _ = given
    splits = made(fold_rows, labels, folds, repeats, seed, validation)
    assert len(splits) == folds * repeats
    for rows in splits:
        check(labels, rows)
        assert all(set(labels[part]) == set(labels) for part in rows.values())
    for k in range(repeats):
        tested = np.concatenate([rows["test"] for rows in splits[k * folds : (k + 1) * folds]])
        assert sorted(tested) == list(range(len(labels)))
    assert len({len(rows["train"]) for rows in splits}) == 1


@MANY
@given(samples(), SEEDS, SHARES, st.integers(2, 5), st.integers(1, 2))
def test_folds_keep_groups_together(
    given: tuple[Array, Array], seed: int, validation: float, folds: int, repeats: int
) -> None:
    labels, groups = given
    splits = made(fold_rows, labels, folds, repeats, seed, validation, groups=groups)
    for rows in splits:
        check(labels, rows)
        for one, other in itertools.combinations(rows.values(), 2):
            assert not set(groups[one]) & set(groups[other])
    for k in range(repeats):
        tested = np.concatenate([rows["test"] for rows in splits[k * folds : (k + 1) * folds]])
        assert sorted(tested) == list(range(len(labels)))


@MANY
@given(st.lists(st.integers(0, 30), min_size=12, max_size=60), SEEDS, SHARES, st.integers(2, 5))
def test_folds_by_time_learn_from_ever_more_and_test_what_came_next(
    given: list[int], seed: int, validation: float, folds: int
) -> None:
    time = np.array(given)
    labels = np.argsort(np.argsort(time, kind="stable")) % 2
    splits = made(fold_rows, labels, folds, 1, seed, validation, time=time / 7)
    assert len(splits) == folds
    for rows in splits:
        check(labels, rows, all_rows=False)
        assert set(labels[rows["train"]]) == set(labels)
        for earlier, later in itertools.pairwise(rows.values()):
            assert time[earlier].max() < time[later].min()
    for before, after in itertools.pairwise(splits):
        known = np.concatenate([after["train"], after["validation"]])
        assert set(known) == set(np.concatenate(list(before.values())))
    assert len(np.concatenate(list(splits[-1].values()))) == len(labels)


def test_the_shares_are_those_asked_for() -> None:
    rng = np.random.default_rng(0)
    labels, groups, time = rng.choice(3, 1000, p=(0.6, 0.3, 0.1)), rng.integers(0, 200, 1000), rng.random(1000)
    orders: list[dict[str, Any]] = [{}, {"groups": groups}, {"time": time}]
    for order in orders:
        rows = split_rows(labels, 1, 0.2, 0.15, **order)
        for part, share in (("train", 0.65), ("validation", 0.2), ("test", 0.15)):
            assert len(rows[part]) / 1000 == pytest.approx(share, abs=0.03 if "groups" in order else 1e-9)
            assert np.bincount(labels[rows[part]]) / len(rows[part]) == pytest.approx([0.6, 0.3, 0.1], abs=0.05)
    for order in orders[:2]:
        for rows in fold_rows(labels, 5, 1, 1, 0.15, **order):
            assert [len(rows[part]) for part in rows] == pytest.approx([650, 150, 200], abs=30)
    sizes = [[len(part) for part in rows.values()] for rows in fold_rows(labels, 4, 1, 1, 0.2, time=time)]
    assert sizes == [[160, 40, 200], [320, 80, 200], [480, 120, 200], [640, 160, 200]]


def test_seeds_and_repeats_split_anew_and_the_same_seed_does_not() -> None:
    labels, groups = np.repeat([0, 1], 30), np.arange(60) // 3
    orders: list[dict[str, Any]] = [{}, {"groups": groups}]
    for order in orders:
        texts = [str(split_rows(labels, seed, 0.15, 0.15, **order)) for seed in (0, 0, 1)]
        assert texts[0] == texts[1] != texts[2]
        several = [[*map(str, fold_rows(labels, 3, repeats, seed, 0.15, **order))]
                   for repeats, seed in ((2, 0), (1, 0), (1, 1))]  # fmt: skip
        assert several[0][:3] == several[1] != several[2]
        assert len(set(several[0])) == 6


@pytest.mark.parametrize("folds", [None, 4])
def test_thousands_of_groups_and_one_that_has_half_of_the_rows_stay_whole(folds: int | None) -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 6000, p=(0.6, 0.3, 0.1))
    groups = np.where(rng.random(6000) < 0.5, 7, rng.integers(0, 2000, 6000))
    splits = fold_rows(labels, folds, 2, 1, 0.15, groups) if folds else [split_rows(labels, 1, 0.15, 0.15, groups)]
    for rows in splits:
        check(labels, rows)
        for one, other in itertools.combinations(rows.values(), 2):
            assert not set(groups[one]) & set(groups[other])


def test_what_would_leave_one_class_only_is_not_recommended() -> None:
    labels = np.repeat([0, 1], [20, 2])
    with pytest.raises(ValueError, match=r"class '1' has 2 rows: .*; these are too few"):
        split_rows(labels, 0, 0.15, 0.15)


LABELS = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2])
TWELVE = np.arange(12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"class 'rare' has 2 rows: expected at least 3, one for each part .*; --min-class 3 leaves such rows out"),
        ({"groups": TWELVE - 1}, "--group: 1 of 12 rows have none: fill these cells in, leave out the rows, or name"),
        ({"time": np.where(TWELVE > 8, np.nan, 1)}, "--time: 3 of 12 rows have none: "),
        ({"groups": TWELVE // 6}, "--group: expected at least 3 different values, one for each part, got 2"),
        ({"groups": np.repeat([0, 1, 2], [5, 5, 2])}, "class '[cd]' has 5 rows, none .*; use another column"),
        ({"time": TWELVE * 0.0}, "--time: expected at least 3 different times, got 1: use another column"),
        ({"time": TWELVE // 6 * 1.0}, "--time: expected at least 3 different times, got 2"),
        (
            {"time": TWELVE * 1.0},
            "class 'rare' has 2 rows, none of which is left to learn from .*--min-class 3 leaves it",
        ),
        (
            {"groups": TWELVE, "time": TWELVE * 1.0},
            "--group and --time: a split is by one of them; leave the other out",
        ),
    ],
)
def test_what_cannot_be_split_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_rows(LABELS, 0, 0.15, 0.15, **options, class_names=("c", "d", "rare"))


@pytest.mark.parametrize(
    ("folds", "options", "message"),
    [
        (3, {}, "class 'rare' has 2 rows: expected at least 3, so that each of 3 folds .*; --min-class 3 leaves"),
        (2, {}, "class 'rare' has 2 rows: expected at least 4, .*; --min-class 4 leaves such rows out"),
        (6, {}, "class 'rare' has 2 rows: expected at least 6, .*; use fewer --folds"),
        (7, {"groups": TWELVE // 2}, "--group: expected at least 7 different values, for 7 folds, got 6"),
        (6, {"groups": TWELVE}, "--folds 6: expected a class of at least so many rows: use fewer folds"),
        (5, {"groups": TWELVE // 2}, "class 'rare' has 2 rows, none of which is left"),
        (11, {"time": TWELVE * 1.0}, "--time: expected at least 13 different times, got 12"),
        (2, {"time": TWELVE * 1.0}, "class 'd' has 5 rows, none of which is left"),
        (2, {"time": TWELVE * 1.0, "repeats": 2}, "--repeats: folds by --time are the same each time: leave it out"),
    ],
)
def test_what_makes_no_folds_is_refused(folds: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fold_rows(LABELS, folds, options.pop("repeats", 1), 0, 0.15, **options, class_names=("c", "d", "rare"))
