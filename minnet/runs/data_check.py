"""What is wrong with the columns of a table? Row numbers and keys, groups, labels by another name, rows that leak.

What a check takes for wrong lies far beyond what healthy data sets show; what only might be wrong is a note.
"""

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from minnet.data.columns import EPOCH, Column
from minnet.data.dataset import Dataset
from minnet.data.preprocessing import Number
from minnet.data.splits import SPLITS
from minnet.data.table import Table
from minnet.support.stack import Array
from minnet.support.text import counted, one_line

Finding = tuple[bool, str]
Note = tuple[bool, str, bool]

COMPARED = 50  # columns, at most, that are compared with each other
ROWS = 4000  # of the table, at most, where columns are tried as classifiers
TELLS = 0.97  # share of right answers from which a single column may be the label by another name
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
KEYS = {"id", "ids", "key", "uuid", "guid", "index", "idx", "no", "nr", "num", "number", "row", "rowid", "code"}
GROUPS = {
    "patient", "subject", "person", "individual", "participant", "respondent", "session", "household", "family",
    "customer", "client", "user", "speaker", "writer", "animal", "student", "group", "id", "nr",
}  # fmt: skip


class Diagnosis(NamedTuple):
    """What a check found.

    Attributes
    ----------
    check : str
        Its short name, such as "initial loss".
    right : bool
        Whether all is well.
    text : str
        One line: the measured figures; if something is wrong, what it is and what to do about it.
    note : bool
        Whether all is well only perhaps, and the text says what to think about.
    """

    check: str
    right: bool
    text: str
    note: bool = False


def check_columns(table: Table | None, dataset: Dataset) -> list[Diagnosis]:
    """Make the checks of the columns as they came."""
    view = View(table, dataset)
    return [diagnosis(check, view) for check in (double_columns, single_column, keys, groups)]


def data_findings(table: Table, dataset: Dataset) -> list[Diagnosis]:
    """Make the checks that cost next to nothing, and give those that found something."""
    view = View(table, dataset)
    found = [diagnosis(check, view) for check in (single_column, keys, groups)]
    found.append(diagnosis(rows_in_two_parts, dataset))
    return [each for each in found if each.note or not each.right]


class View:
    """The columns of a data set as its table gives them, of the samples that may be looked at: not those of the test.

    Parameters
    ----------
    table : Table or None
        What the data set was made of. Without one, the columns are made again of the features.
    dataset : Dataset
        The data set.

    Attributes
    ----------
    columns : sequence of Column
        Those that became features, of the training and the validation part.
    whole : sequence of Column
        All of the table, with the rows of the test part.
    labels : array of shape (N,)
        The class of each row.
    K : int
        Number of classes.
    grouped : bool
        Whether the data set is split by groups.
    """

    def __init__(self, table: Table | None, dataset: Dataset) -> None:
        self.labels = np.concatenate([dataset.labels(split) for split in SPLITS[:2]])
        self.K = dataset.K
        self.whole = [*columns_of(dataset)] if table is None else table.columns
        self.grouped = table is not None and table.groups is not None
        used = {each.name for each in dataset.preprocessing.columns}
        if table is None or not {"train", "validation"} <= dataset.rows.keys():
            self.columns = self.whole
        else:
            source = np.concatenate([dataset.rows[split] for split in SPLITS[:2]])
            rows = np.searchsorted(table.rows, source)
            order = np.argsort(rows)  # as they came
            self.labels = self.labels[order]
            self.columns = [column.take(rows[order]) for column in table.columns if column.name in used]

    def sample(self) -> Array:
        """Pick `ROWS` rows at most, always the same ones."""
        return np.random.default_rng(0).permutation(len(self.labels))[:ROWS]


def columns_of(dataset: Dataset) -> Iterator[Column]:
    """Make the columns again of the features of the training and the validation part."""
    x = np.concatenate([getattr(dataset, split).x for split in SPLITS[:2]]).astype(np.float64)
    x = x * dataset.standardization.scale + dataset.standardization.mean
    d = 0
    for each in dataset.preprocessing.columns:
        own = x[:, d : d + len(each.features)]
        d += len(each.features)
        if isinstance(each, Number):
            values = own[:, 0].round() if is_whole(own[:, 0]) else own[:, 0]
            yield Column(each.name, values)
        else:
            codes = own.argmax(axis=1) if own.shape[1] > 1 else own[:, 0].round().astype(np.int64)
            yield Column(each.name, codes, tuple(map(str, range(max(2, own.shape[1])))))


def is_whole(values: Array) -> bool:
    """Tell whether all numbers are whole, up to what float32 can tell; those that are missing do not count."""
    values = values[~np.isnan(values)]
    tolerance = min(1e-6 * float(np.abs(values).max(initial=0)), 0.01) + 1e-9
    return bool(values.size and (np.abs(values - values.round()) <= tolerance).all())


def factorized(column: Column) -> Array:
    """Number the different cells of a column from 0; those that are missing are alike."""
    return np.unique(column.values, return_inverse=True)[1]


def double_columns(view: View) -> Finding:
    """Look for columns of which each tells the other one to one, such as a code and its name."""
    by_size: dict[int, list[tuple[Column, Array]]] = {}
    for column in view.columns:
        codes = factorized(column)
        counts = np.bincount(codes)
        if 2 <= len(counts) <= len(codes) / 2 and len(codes) - counts.max() >= 5:
            by_size.setdefault(len(counts), []).append((column, codes))
    same = []
    for size, each in by_size.items():
        for i, (one, codes) in enumerate(each):
            for other, others in each[i + 1 :]:
                words = one.words is not None or other.words is not None
                if words and len(np.unique(codes * size + others)) == size:
                    same.append(f"{one.name!r:.60} and {other.name!r:.60}")
    if same:
        return False, f"one tells the other: {some(same)}; leave one of each out"
    return True, f"none of {counted(len(view.columns), 'column')} tells another one to one"


def single_column(view: View) -> Finding:
    """Look for columns each of which alone tells the label, where all others together tell it much less well.

    How well is measured on folds: by a small tree of a column, and by a tree of all columns that are not suspect.
    """
    rows = view.sample()
    t, commonest = view.labels[rows], np.bincount(view.labels[rows]).max() / len(rows)
    most = min(1 - TELLS, 0.25 * (1 - commonest))
    suspects, codes = {}, [scores(column.take(rows), t, view.K) for column in view.columns]
    if len(codes) < 2 or len(rows) < max(100, 10 * view.K):
        return True, "too few columns or rows to compare them"
    for column, code in zip(view.columns, codes, strict=True):
        if promising(code, t, view.K, most):
            right = tree_accuracy(code[:, None], t, 2 * view.K)
            if 1 - right <= most:
                suspects[column.name] = right
    if not suspects:
        return True, f"no column alone tells the label of {TELLS:.0%} of the samples"
    others = [code for column, code in zip(view.columns, codes, strict=True) if column.name not in suspects]
    together = tree_accuracy(np.column_stack(others), t, None) if others else commonest
    telling = {
        name: f"{name!r:.60} ({right:.1%})" for name, right in suspects.items() if 1 - together > 2.5 * (1 - right)
    }
    if not telling:
        return True, "where a column alone tells the label, the others do so, too"
    text = f"alone tells the label: {some([*telling.values()])}, where all others together tell {together:.1%}"
    return False, f"{text}; leave out what will not be known when the label is asked for: {ignoring(telling)}"


def scores(column: Column, t: Array, K: int) -> Array:
    """Make numbers (N,) of a column for a tree: of categories, ordered so that those of the same class are adjacent."""
    if column.words is None:
        return np.where(column.missing, np.nan, column.values)
    codes = factorized(column)
    counts = np.zeros((codes.max() + 1, K))
    np.add.at(counts, (codes, t), 1)
    rare = counts.sum(axis=1) < 5  # by so few rows a category tells nothing
    mean = np.where(rare, 0, counts.argmax(axis=1) + 1)
    return mean[codes].astype(np.float64)


def promising(code: Array, t: Array, K: int, most: float) -> bool:
    """Tell at little cost whether a number may tell all labels but a share.

    In each of equal parts of its range the commonest class is counted; those at the ends of classes may be mixed.
    """
    N, n_parts = len(code), max(8, len(code) // 16)
    order = np.argsort(code, kind="stable")
    values, part = code[order], np.arange(N) * n_parts // N
    first = np.r_[True, (values[1:] != values[:-1]) & ~np.isnan(values[:-1])]
    part = part[np.maximum.accumulate(np.where(first, np.arange(N), 0))]  # equal values stay together
    counts = np.zeros((n_parts, K))
    np.add.at(counts, (part, t[order]), 1)
    wrong = 1 - counts.max(axis=1).sum() / N
    return bool(wrong <= 1.5 * most + 0.5 * min(K - 1, 8) / n_parts)


def tree_accuracy(x: Array, t: Array, leaves: int | None) -> float:
    """Measure on five folds how many labels (N,) a decision tree tells from numbers (N, D) or NaN."""
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_leaf_nodes=leaves, random_state=0)
    folds = KFold(5, shuffle=True, random_state=0)
    return float(np.mean(cross_val_score(tree, x, t, cv=folds)))


def keys(view: View) -> Finding:
    """Look for columns that number or name the rows: their values say nothing of rows not seen yet."""
    found = dict[str, str]()
    for column in view.columns:
        values = column.values[~column.missing]
        N, words = len(values), named_as(column.name)
        if N < 20 or column.date:
            continue
        distinct = len(np.unique(values))
        if column.words is None and is_whole(values) and distinct == N and np.ptp(values) < 1.5 * N:
            found[column.name] = f"{column.name!r:.60} numbers the rows"
        elif words & KEYS and distinct > 0.85 * N and (column.words is not None or is_whole(values)):
            found[column.name] = f"{column.name!r:.60} is a key ({distinct} of {N} cells are different)"
    if found:
        return (
            False,
            f"{some([*found.values()])}: new samples get values never seen, so leave it out: {ignoring(found)}",
        )
    return True, "no column numbers or names the rows"


def named_as(name: str) -> set[str]:
    """Give the words in the name of a column, in small letters."""
    return {word.lower() for word in WORDS.findall(name)}


def groups(view: View) -> Note:
    """Look for columns whose values may be persons or the like with several rows each.

    A column looks so by its name, or if its values have equally many rows each and at least two others never change
    within one of them.
    """
    if view.grouped:
        return True, "the samples are split by groups", False
    found = []
    for place, column in enumerate(view.whole):
        if column.date or (column.words is None and not is_whole(column.values)):
            continue
        codes = factorized(column)
        counts = np.bincount(codes)
        G, N = len(counts), len(codes)
        if G < 20 or 1.5 * G > N or counts[counts > 1].sum() < 0.6 * N:
            continue
        if named_as(column.name) & GROUPS or (
            place < COMPARED and 1.3 * G < N and constant_within(view, column, codes) >= 2
        ):
            found.append(f"{column.name!r:.60} has {G} values in {N} rows")
    if found:
        remedy = "if these are persons or the like and new samples are of others, split by it"
        name = found[0].partition(" has ")[0]
        return True, f"{some(found)}; {remedy}: --group {name}", True
    return True, "no column looks like a group", False


def constant_within(view: View, column: Column, codes: Array) -> int:
    """Count the other columns that do not change where the codes (N,) are the same, and take at least three values."""
    G, count = codes.max() + 1, 0
    for other in view.whole[:COMPARED]:
        if other is not column:
            others = factorized(other)
            size = others.max() + 1
            count += bool(3 <= size < G / 2 and len(np.unique(codes * size + others)) == G)
    return count


def described(column: Column) -> str:
    """Say what is in a column: its range, or how many values it has, with the commonest."""
    present = column.values[~column.missing]
    if not present.size:
        return ""
    if column.words is not None:
        counts = np.bincount(present)
        common = column.words[int(counts.argmax())]
        return f"{counted(int((counts > 0).sum()), 'value')}, mostly {common!r:.30} ({counts.max()})"
    ends = present.min(), present.max()
    if column.date:
        first, last = (str(np.datetime64(EPOCH.date()) + np.timedelta64(int(end), "D")) for end in ends)
        return f"{first} to {last}"
    return f"{ends[0]:.6g} to {ends[1]:.6g}"


def listing(table: Table, dataset: Dataset) -> list[dict[str, Any]]:
    """Describe each column of a table, also those that were left out, in terms of JSON."""
    why = dataset.preprocessing.left_out
    rows: list[dict[str, Any]] = []
    for column in table.columns:
        about = described(column)
        state = f"left out: {why[column.name]}" if column.name in why else ""
        missing = int(column.missing.sum())
        found = {"name": column.name, "kind": column.kind, "missing": missing, "values": about, "left_out": state}
        rows.append(found)
    rows += [
        {"name": name, "kind": "", "missing": 0, "values": "", "left_out": "not used"} for name in table.ignored if name
    ]
    return rows


def diagnosis(check: Callable[..., Finding | Note], *patient: Any) -> Diagnosis:
    """Make a check. Whatever keeps it from being made is a finding, too: the other checks may tell the cause."""
    name = check.__name__.replace("_", " ")
    try:
        with np.errstate(all="ignore"):  # what is not finite shows in the figures
            return Diagnosis(name, *check(*patient))
    except Exception as error:
        return Diagnosis(name, False, one_line(f"could not be checked: {type(error).__name__}: {error}"))


def duplicate_rows(dataset: Dataset) -> Finding:
    """Look for rows of the training part that stand in the other parts, too, or contradict each other."""
    first, twins = twins_of(dataset)
    N = len(dataset.train.x)
    text = f"{len(twins)} of {N} train rows have an earlier twin of another class"
    if are_many(twins, N):
        return False, f"{text}, such as samples {', '.join(twins[:3])}; find out which labels are right"
    right, shared = shared_rows(dataset, first)
    return right, f"{text}, {shared}" if right else shared


def rows_in_two_parts(dataset: Dataset) -> Finding:
    """Look for rows of the training part that stand in the other parts, too, unless so few values make them natural."""
    first, twins = twins_of(dataset)
    if are_many(twins, len(dataset.train.x)):
        return True, "rows are alike in both classes, so that others are alike by chance"
    return shared_rows(dataset, first)


def twins_of(dataset: Dataset) -> tuple[dict[int, int], list[str]]:
    """Find the different rows of the training part, with their first samples, and those that contradict each other."""
    labels, first, twins = dataset.labels("train"), dict[int, int](), []
    for n, row in enumerate(hashes(dataset.train.x)):
        if labels[first.setdefault(row, n)] != labels[n]:
            twins.append(f"{first[row]} and {n}")
    return first, twins


def are_many(twins: list[str], N: int) -> bool:
    """Tell whether so many of N rows contradict others that they cannot be slips."""
    return len(twins) > max(1, 0.005 * N)


def shared_rows(dataset: Dataset, first: dict[int, int]) -> Finding:
    """Count the rows of the other parts that stand in the training part, whose different rows are given."""
    said = []
    for name in SPLITS[1:]:
        rows = hashes(getattr(dataset, name).x)
        shared = sum(row in first for row in rows)
        said.append(f"{shared} of {len(rows)} {name} rows stand in the train part")
        if shared > max(1, 0.05 * len(rows)):
            remedy = "leave duplicates out before splitting, unless features of so few values make them natural"
            return False, f"{said[-1]}: accuracies there will be too good; {remedy}"
    return True, ", ".join(said)


def hashes(x: Array) -> list[int]:
    """Give a hash of each row, by which those are found that are the same."""
    return [hash(row.tobytes()) for row in x + 0.0]  # −0.0 becomes 0.0, which has other bytes


def ignoring(names: Iterable[str]) -> str:
    """Write the flag that leaves columns out."""
    return f"--ignore {shlex.quote(','.join(names)):.200}"


def some(examples: Sequence[str]) -> str:
    """List a few examples, and tell how many there are."""
    return ", ".join(examples[:3]) + f" ({len(examples)} in all)" * (len(examples) > 1)
