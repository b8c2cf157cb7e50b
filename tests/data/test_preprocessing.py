"""Do columns become the features that were meant, by what training rows alone say, and does a file keep all of it?"""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minnet import Dataset
from minnet.data import Preprocessing, Standardization
from minnet.data.columns import Column
from minnet.data.preprocessing import MOST, Category, Number, Several
from minnet.data.splits import split_rows
from minnet.data.table import Table
from minnet.layers import Array


def words(name: str, *cells: str | None) -> Column:
    """A column of categories, with None where a cell is missing."""
    known = tuple(dict.fromkeys(cell for cell in cells if cell is not None))
    return Column(name, np.array([-1 if cell is None else known.index(cell) for cell in cells]), known)


def numbers(name: str, *cells: float) -> Column:
    """A column of numbers."""
    return Column(name, np.array(cells, np.float64))


def test_a_missing_number_gets_the_median_and_a_feature_says_so() -> None:
    column = numbers("mass", 1, np.nan, 5, 6)
    fitted = Preprocessing.fit([column])
    assert fitted.columns == (Number("mass", 5.0, missing=True),)
    assert fitted.feature_names == ("mass", "mass is missing")
    np.testing.assert_array_equal(fitted.features_of([column]), [[1, 0], [5, 1], [5, 0], [6, 0]])
    np.testing.assert_array_equal(fitted([column])[:, 1], [0, 1, 0, 0])  # is not standardised


def test_a_number_that_was_complete_in_training_may_lack_cells_later_which_is_counted() -> None:
    fitted = Preprocessing.fit([numbers("mass", 1, 2, 6)])
    later = [numbers("mass", np.nan, 6)]
    np.testing.assert_array_equal(fitted.features_of(later), [[2], [6]])
    assert fitted.unseen(later) == {"mass": (1, "missing, filled with the median 2")}


def test_categories_have_a_feature_for_each_value_and_two_values_share_one() -> None:
    columns = [words("island", "Dream", "Biscoe", "Torgersen"), words("sex", "male", "female", "male")]
    fitted = Preprocessing.fit(columns)
    assert fitted.feature_names == ("island=Biscoe", "island=Dream", "island=Torgersen", "sex=male")
    np.testing.assert_array_equal(fitted.features_of(columns), [[0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 1]])


def test_missing_is_a_category_and_what_was_never_seen_is_none_of_them() -> None:
    fitted = Preprocessing.fit([words("sex", "m", "f", None, "m"), words("b", "x", "y", "x", "x")])
    later = [words("sex", None, "z"), words("b", "z", None)]
    np.testing.assert_array_equal(fitted.features_of(later), [[0, 1, 0.5], [0.5, 0, 0.5]])
    said = fitted.unseen(later)
    assert (said["sex"][0], said["b"][0]) == (1, 2)
    assert "never seen in training, such as 'z'" in said["b"][1]


def test_of_many_categories_the_rarer_ones_are_one_together_with_those_never_seen() -> None:
    cells = [f"c{k}" for k in range(300) for _ in range(2 + (k < MOST - 1))]
    column = words("city", *cells)
    fitted = Preprocessing.fit([column])
    (learned,) = fitted.columns
    assert isinstance(learned, Category)
    assert learned.other
    assert set(learned.values) == {f"c{k}" for k in range(MOST - 1)}
    assert len(fitted.feature_names) == MOST
    np.testing.assert_array_equal(fitted.features_of([column]).sum(axis=1), 1)
    assert fitted.features_of([words("city", "c299", "new")])[:, -1].tolist() == [1, 1]
    assert fitted.unseen([words("city", "new")]) == {"city": (0, "")}


def test_names_keys_and_columns_with_nothing_in_them_are_left_out_with_the_reason() -> None:
    name, same = words("name", *map(str, range(40))), words("same", *["a"] * 40)
    empty, kept = numbers("empty", *[np.nan] * 40), numbers("kept", *range(40))
    fitted = Preprocessing.fit([name, same, empty, kept])
    assert fitted.feature_names == ("kept",)
    assert fitted.left_out == {
        "name": "40 of 40 cells are different",
        "same": "all cells are the same",
        "empty": "no cell has a value",
    }
    assert "'name' left out: 40 of 40 cells are different" in fitted.describe([name, same, empty, kept])
    with pytest.raises(ValueError, match=r"no column can be used as a feature \('same': all cells are the same"):
        Preprocessing.fit([same])


def test_columns_are_found_by_name_in_any_order_and_a_wrong_one_is_named() -> None:
    columns = [numbers("a", 1, 2, 4), words("b", "x", "y", "z"), numbers("c", 7, 8, 9)]
    fitted = Preprocessing.fit(columns)
    np.testing.assert_array_equal(fitted([*reversed(columns), numbers("more", 1, 1, 1)]), fitted(columns))
    with pytest.raises(ValueError, match="there is no column 'b'"):
        fitted([columns[0], columns[2]])
    with pytest.raises(TypeError, match="column 'b': expected a category"):
        fitted([columns[0], columns[0]._replace(name="b"), columns[2]])
    with pytest.raises(TypeError, match="'b' holds words: give it a data frame"):
        fitted(np.ones((2, 3)))


def test_an_array_has_a_column_for_each_that_is_a_number() -> None:
    fitted = Preprocessing.fit([numbers("a", 1, np.nan, 4), numbers("b", 7, 8, 9)])
    expected = fitted([numbers("a", 1, 4), numbers("b", 8, 8)])
    np.testing.assert_array_equal(fitted(np.array([[1.0, 8], [4, 8]])), expected)


def test_several_pad_the_features_that_others_have() -> None:
    one = Preprocessing.fit([words("b", "x", "y", "z")])
    two = Preprocessing.fit([words("b", "x", "y", "x")])
    np.testing.assert_array_equal(Several([one, two])([words("b", "y")]), [[[0, 1, 0]], [[1, 0, 0]]])


def test_several_know_the_columns_of_each_and_say_what_none_has_seen() -> None:
    one = Preprocessing.fit([numbers("a", 1, 2, 3), words("b", "x", "x", "x"), words("c", "p", "q", "r")])
    two = Preprocessing.fit([numbers("a", *[np.nan] * 3), words("b", "x", "y", "z"), words("c", "p", "q", "q")])
    several = Several([one, two])
    assert several.kinds == [("a", "number"), ("c", "category"), ("b", "category")]
    later = [numbers("a", 2, 2), words("b", "y", "w"), words("c", "r", "s")]
    np.testing.assert_allclose(several(later)[:, 0], np.array([[0, 0, 0, 1], [0, 1, 0, 0.5]]))
    assert {name: count for name, (count, _) in several.unseen(later).items()} == {"a": 0, "b": 1, "c": 1}
    with pytest.raises(TypeError, match="learned from different columns: give it a data frame"):
        several(np.ones((2, 3)))
    alike = Several([Preprocessing.fit([numbers("a", 1, 3), numbers("d", *each)]) for each in ([np.nan, 5], [2, 4])])
    np.testing.assert_array_equal(alike(np.array([[1.0, 5]])), alike([numbers("a", 1), numbers("d", 5)]))


CELLS = st.one_of(st.just(np.nan), st.floats(-1e6, 1e6, allow_subnormal=False))
TEXTS = st.one_of(st.none(), st.text("abc ", max_size=2))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(CELLS, TEXTS), min_size=2, max_size=30), st.lists(st.tuples(CELLS, TEXTS), max_size=5))
def test_what_was_learned_comes_back_from_json_and_all_features_are_finite(learned: Any, later: Any) -> None:
    columns = [numbers("n", *(n for n, _ in learned)), words("w", *(w for _, w in learned))]
    new = [numbers("n", *(n for n, _ in later)), words("w", *(w for _, w in later))]
    try:
        fitted = Preprocessing.fit(columns)
    except ValueError:
        return
    again = Preprocessing.from_json(json.loads(json.dumps(fitted.to_json())), fitted.standardization)
    assert again.columns == fitted.columns
    for table in (columns, new) if later else (columns,):
        x = fitted(table, "float64")
        assert x.shape == (len(table[0].values), len(fitted.feature_names))
        assert np.isfinite(x).all()
        np.testing.assert_array_equal(again(table, "float64"), x)


def table_of(rng: "np.random.Generator", N: int = 200) -> Table:
    """A table of every kind of column."""
    t = rng.integers(0, 3, N)
    mass = np.where(rng.random(N) < 0.1, np.nan, rng.normal(t, 1))
    city = Column("city", rng.integers(-1, 80, N), tuple(f"c{k}" for k in range(80)))
    key = Column("key", np.arange(N), tuple(f"k{k}" for k in range(N)))
    sex = Column("sex", rng.integers(-1, 2, N), ("f", "m"))
    columns = [Column("mass", mass), Column("day", rng.normal(0, 9, N), date=True), city, key, sex]
    return Table("mine", columns, t, ["a", "b", "c"], rows=np.arange(N))


def learned_from(table: Table, rows: dict[str, Array]) -> tuple[Any, ...]:
    """All that a data set learned, as bytes."""
    fitted = Dataset.of_rows(table, rows).preprocessing
    arrays = fitted.standardization.mean.tobytes(), fitted.standardization.scale.tobytes()
    return json.dumps(fitted.to_json()), dict(fitted.left_out), *arrays


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_learned_from_validation_or_test_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = table_of(rng)
    rows = split_rows(table.t, seed, 0.15, 0.15)
    before = learned_from(table, rows)
    others = np.concatenate([rows["validation"], rows["test"]])

    def changed(columns: Any, at: Array) -> list[Column]:
        made = []
        for column in columns:
            values = column.values.copy()
            values[at] = rng.permutation(values[at]) * 3 if column.words is None else rng.integers(-1, 2, len(at))
            made.append(column._replace(values=values))
        return made

    after = Table("mine", changed(table.columns, others), table.t, table.class_names, rows=table.rows)
    assert learned_from(after, rows) == before
    leaked = Table("mine", changed(table.columns, rows["train"][:9]), table.t, table.class_names, rows=table.rows)
    assert learned_from(leaked, rows) != before  # so the test can fail


def test_the_line_about_the_columns_counts_all_of_them() -> None:
    table = table_of(np.random.default_rng(0))
    about = Dataset.from_table(table).about
    missing = int(np.isnan(table.columns[0].values).sum())
    assert about.startswith(f"5 columns: 2 numbers (1 of them dates, {missing} cells missing, filled with medians), ")
    assert "2 categories (city 48 and other and missing, sex 2 and missing)" in about
    assert "'key' left out: 140 of 140 cells are different" in about


def test_a_plain_array_is_standardised_as_it_was() -> None:
    x = np.random.default_rng(0).normal(size=(9, 2))
    fitted = Preprocessing.plain(["a", "b"], Standardization.of(x))
    np.testing.assert_array_equal(fitted(x), fitted.standardization(x))
    with pytest.raises(ValueError, match="finite"):
        fitted(np.full((1, 2), np.nan))


def test_what_was_learned_is_said_column_by_column() -> None:
    day = Column("day", np.array([19723.0, 19724, 19725, 19726]), date=True)
    sex = words("sex", "m", "f", None, "m")
    fitted = Preprocessing.fit([numbers("mass", 1, np.nan, 5, 6), day, sex])
    assert fitted.summary() == [
        "column  kind      features  learned from the training rows",
        "mass    number           2  median 5, missing",
        "day     date             1  median 19724.5 days since 1970",
        "sex     category         2  f, m, missing",
    ]
    assert not fitted.is_plain
    assert Preprocessing.plain(["a"], fitted.standardization).is_plain
    many = Preprocessing.fit([numbers(f"x{k}", 1, 2) for k in range(32)])
    assert many.summary()[-1] == "and 2 more columns"
