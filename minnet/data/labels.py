"""Which classes do the labels of a table name, and are they classes at all?"""

import shlex
from collections.abc import Sequence

import numpy as np

from minnet.data.columns import NUMBER, Column, Source, is_missing, label_text
from minnet.support.machine import check_memory
from minnet.support.stack import Array
from minnet.support.text import listed

FEW, SOME, MANY = 10, 20, 100  # so many classes nobody doubts; need rows each; need many rows each
RARE = 3  # a class of fewer rows cannot be in each split


def number_classes(
    file: Source, column: Column, class_names: Sequence[str] | None, min_class: int | None
) -> tuple[Array, list[str], list[str]]:
    """Number the classes of labels from 0, those that are known or else those that occur.

    Returns
    -------
    array of shape (N,)
        Class numbers; −1 where there is no label, or one of a class that has too few rows.
    class_names : list of str
        Their names.
    notes : list of str
        What was left out.
    """
    words = column.words or ()
    texts = [label_text(word) for word in words]
    known = None if class_names is None else {label_text(name): k for k, name in enumerate(class_names)}
    if known is None:
        names = sorted({text for text in texts if not is_missing(text)})
        if all(map(NUMBER.fullmatch, names)):
            names.sort(key=float)
        known = {text: k for k, text in enumerate(names)}  # names from elsewhere may be "1.0"
    else:
        names = [*map(str, class_names or ())]
    t = number_words(column, [known.get(text, -1 if is_missing(text) else -2) for text in texts])
    unknown, notes = t == -2, list[str]()
    if unknown.any() and min_class is None:
        file.refuse(column.name, unknown, "a label", f"the classes are: {listed(names)}")
    if (t == -1).any():
        notes.append(f"{count_of(int((t == -1).sum()), 'row')} without a target left out")
    if unknown.any():
        notes.append(f"{count_of(int(unknown.sum()), 'row')} of other classes left out")
    if not (t >= 0).any():
        raise ValueError(f"{file.path}: column {column.name!r:.60} holds no label: expected the target")
    if class_names is None:
        counts = np.bincount(t[t >= 0], minlength=len(names))
        check_quantity(file, column.name, names, counts, min_class)
        rare = counts < (min_class or 0)
        if rare.any():
            few = f"fewer than {min_class}"
            if (~rare).sum() < 2:
                but = ", ".join(f"{names[k]!r:.60}" for k in np.flatnonzero(~rare))
                each = f"each class{f' but {but}' * bool(but)}"
                raise ValueError(f"{file.path}: {each} has {few} rows: expected a smaller --min-class")
            left = f"{count_of(int(counts[rare].sum()), 'row')} of {count_of(int(rare.sum()), 'class')}"
            notes.append(f"{left} with {few} left out")
            t = np.append(np.where(rare, -1, np.cumsum(~rare) - 1), -1)[t]
            names = [name for name, out in zip(names, rare.tolist(), strict=True) if not out]
        check_many(file, column.name, counts[~rare])
    return t, names, notes


def number_words(column: Column, numbers: Sequence[int]) -> Array:
    """Give each cell of words the number of its word, and −1 where it is missing."""
    return np.array([*numbers, -1], dtype=np.int64)[column.values]


def count_of(count: int, what: str) -> str:
    """Write how many of something there are."""
    plural = what + ("es" if what.endswith("s") else "s")
    return f"{count} {what if count == 1 else plural}"


def check_quantity(file: Source, name: str, names: Sequence[str], counts: Array, min_class: int | None) -> None:
    """Raise ValueError if labels are numbers that look like a quantity, not like the numbers of classes.

    Those are fractions, or mostly have a row or two each; if there are some, any has, and if many, they have few rows.
    """
    numbers, K = [text.replace(",", ".", 1) for text in names], len(names)
    if K <= FEW or not all(map(NUMBER.fullmatch, numbers)):
        return
    rare = (counts < RARE).mean()
    fractions = any(not float(number).is_integer() for number in numbers)
    uneven = K > SOME and rare > 0 and min_class is None
    if fractions or rare > 0.5 or uneven or (K > MANY and counts.mean() < 10):
        what = f"column {name!r:.60} holds {K} different numbers, a quantity, and minnet classifies"
        line = f'df["{name:.60} class"] = pd.qcut(df["{name:.60}"], 3, labels=["low", "middle", "high"])'
        remedy = f"make classes of it, as pandas does: {line}, and --ignore {shlex.quote(name[:60])}"
        if uneven and not fractions:
            remedy += f"; if they are classes, --min-class {RARE} leaves the rare ones out"
        raise ValueError(f"{file.path}: {what}: {remedy}")


def check_many(file: Source, name: str, counts: Array) -> None:
    """Raise ValueError if most labels are of a class of their own, or there are too many classes for the memory."""
    N, K = int(counts.sum()), len(counts)
    if K > FEW and (counts < RARE).mean() > 0.5:
        what = f"column {name!r:.60} holds {K} different labels in {N} rows, most of them once or twice"
        raise ValueError(f"{file.path}: {what}: is it the target? If so, --min-class {RARE} leaves the rare ones out")
    check_memory(f"{file.path}: telling {K} classes of {N} rows apart", 8 * N * K)
