"""Which mistake is it? The table of classic mistakes, and what a wrong gradient looks like beside the right one.

Each classic mistake leaves a fingerprint: a formula that turns the right gradient into the wrong one. A mistake is
named only if its formula gives the analytic gradient in *every* shape that was tried, so that a factor N, which changes
with the batch, is never taken for a factor 2, which does not.
"""

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minnet.layers import Array
from minnet.support.fit import relative_errors

COMPLEX_TOLERANCE = 1e-10  # complex steps are exact to rounding
EXPLAINED = 1e-6  # a formula explains a gradient if it misses it by at most this share of its largest entry


class Finding(NamedTuple):
    """A mistake found: its name in `MISTAKES`, and what was seen."""

    name: str
    saw: str


@dataclass(frozen=True, eq=False)
class Comparison:
    """An analytic gradient beside the numeric one, in one shape.

    Attributes
    ----------
    quantity : str
        "dx", "dW", "db", … or, for an output layer, "dz".
    analytic, numeric : arrays of the same shape (..., rows, columns)
        What backward says, and what the loss says.
    given : mapping of str to array
        What formulas may use: of a layer its doutput and parameters, of an output layer t and the true y.
    N : int
        The number of samples in the batch.
    tolerance : float
        Up to which error they count as equal; by default that of complex steps.
    rounding : float
        How large a difference rounding explains; relative to a gradient that is tiny itself it says nothing.
    """

    quantity: str
    analytic: Array
    numeric: Array
    given: Mapping[str, Array]
    N: int = 1
    tolerance: float = COMPLEX_TOLERANCE
    rounding: float = 0.0

    @functools.cached_property
    def errors(self) -> Any:
        """|analytic − numeric|, relative to the largest numeric gradient; infinite where one of them is NaN."""
        return relative_errors(self.analytic, self.numeric, self.rounding)

    @property
    def error(self) -> float:
        """The largest error."""
        return float(self.errors.max())

    @property
    def wrong(self) -> bool:
        """Whether that is too large."""
        return self.error > self.tolerance

    @property
    def K(self) -> int:
        """The number of columns of the layer's output, or of an output layer's logits."""
        return int(self.given.get("doutput", self.numeric).shape[-1])

    @property
    def worst(self) -> list[tuple[int, ...]]:
        """The places of the largest errors."""
        order = np.argsort(-self.errors, axis=None, kind="stable")[:4]
        return [tuple(map(int, np.unravel_index(k, self.errors.shape))) for k in order]

    def worst_entries(self) -> str:
        """Show the entries that differ most, analytic beside numeric."""
        return "; ".join(f"{i} analytic {self.analytic[i]:.6g}, numeric {self.numeric[i]:.6g}" for i in self.worst)


@dataclass(frozen=True)
class Mistake:
    """One classic mistake.

    Attributes
    ----------
    name : str
        What it is called.
    meaning : str
        What is done wrong.
    equation : str
        The equation of docs/derivation.md to read; empty if the mathematics has nothing to do with it.
    seen : str
        What one sees of it in the gradient, if it has a formula.
    formula : callable or None
        Gives the wrong gradient; it fails, or gives another shape, where the mistake makes no sense.
    only_square : bool
        Whether the mistake fits, or does not raise, only where sizes are the same.
    """

    name: str
    meaning: str
    equation: str = ""
    seen: str = ""
    formula: Callable[[Comparison], Array] | None = None
    only_square: bool = False


def times(name: str, meaning: str, equation: str, said: str, factor: Callable[[Comparison], float]) -> Mistake:
    """Make the mistake of a factor that has no business there."""
    seen = f"analytic / numeric is {said} everywhere, in all shapes tried"
    return Mistake(name, meaning, equation, seen, lambda c: factor(c) * c.numeric)


ALL_MISTAKES = (
    # The gradient, times something. Of all formulas, here and below, the first that fits counts.
    times("no-gradient", "the gradient is never written, or is overwritten by zeros", "12a", "0", lambda c: 0),
    times("sign-flipped", "the sign is wrong, as in t − y instead of y − t; the loss climbs", "9", "−1", lambda c: -1),
    times("factor-two", "a stray factor 2, as from a square's derivative", "9", "2", lambda c: 2),
    times("factor-half", "a stray factor ½", "9", "½", lambda c: 1 / 2),
    times("mean-forgotten", "the mean over the batch lacks its 1/N in backward: dz = y − t", "10", "N", lambda c: c.N),
    times(
        "mean-twice", "divided by N here too; 1/N belongs into the output layer only", "10", "1/N", lambda c: 1 / c.N
    ),
    times("times-width", "multiplied by K, the number of columns: a sum too many", "10", "K", lambda c: c.K),
    times("wrong-divisor", "divided by K, the number of columns: the mean is over N", "10", "1/K", lambda c: 1 / c.K),
    times("mean-over-all-forgotten", "the mean over all entries lacks 1/(N·K)", "10", "N·K", lambda c: c.N * c.K),
    times("mean-over-all-twice", "divided by N·K once more than the loss", "10", "1/(N·K)", lambda c: 1 / (c.N * c.K)),
    Mistake("nominal-batch-size", "divided by a fixed batch size, also where the batch is shorter", "10"),
    Mistake("constant-factor", "multiplied by a constant that has no business there", "10"),
    # The gradient, summed or arranged the wrong way
    Mistake(
        "bias-all-axes",
        "the bias's gradient is summed over all axes, not just over the samples",
        "12b",
        "all entries are the same: the sum of what all of them should be",
        lambda c: 0 * c.given["b"] + c.numeric.sum(axis=(-2, -1), keepdims=True),
    ),
    Mistake(
        "bias-wrong-axis",
        "the bias's gradient is summed over the units, not over the samples",
        "12b",
        "where N equals the number of units, it is the sum over the other axis",
        lambda c: c.given["doutput"].sum(axis=-1, keepdims=True).mT,
        only_square=True,
    ),
    Mistake("rows-shuffled", "each row holds the gradient of another row: samples and gradients shuffled apart", "10"),
    # An activation's derivative
    Mistake(
        "derivative-missing",
        "the activation's own derivative is missing: the gradient is passed on as it came",
        "13a",
        "dx is what backward was given, unchanged",
        lambda c: c.given["doutput"],
    ),
    Mistake(
        "derivative-doubled",
        "the activation's derivative is multiplied twice",
        "13a",
        "analytic / numeric is the activation's derivative itself",
        lambda c: c.numeric * (c.numeric / c.given["doutput"]),
    ),
    # Softmax and cross-entropy
    Mistake(
        "diagonal-jacobian",
        "only the diagonal y(1 − y) of the softmax Jacobian is used; see also equation 6",
        "7",
        "rows do not sum to 0; each entry is −t (1 − y)/N",
        lambda c: -c.given["t"] * (1 - c.given["y"]) / c.N,
    ),
    Mistake(
        "extra-derivative",
        "y − t is multiplied by y(1 − y) once more; the derivative is already in it",
        "8",
        "rows do not sum to 0; each entry is (y − t) y (1 − y)/N",
        lambda c: (c.given["y"] - c.given["t"]) * c.given["y"] * (1 - c.given["y"]) / c.N,
    ),
    Mistake(
        "other-loss",
        "backward is y − t, but forward computes another loss than the cross-entropy of softmax",
        "2",
        "analytic is (y − t)/N, but the slope of the loss is something else",
        lambda c: (c.given["y"] - c.given["t"]) / c.N,
    ),
    # Rows for columns; after all other formulas, since it is tried in square shapes only
    Mistake(
        "transposed",
        "the array is transposed",
        "12a",
        "where the arrays are square, it is what transposing one of them would give",
        lambda c: c.given["doutput"] @ c.given["W"] if c.quantity == "dx" else c.numeric.mT,
        only_square=True,
    ),
    # Softmax and cross-entropy where they go wrong: in huge logits
    Mistake(
        "log-epsilon", "the loss takes log(y + ε) or clips y: where it is most wrong, y − t is not its slope", "11c"
    ),
    Mistake("epsilon-too-small", "the ε in log(y + ε) is rounded to 0 in float32, as 1e-50 is", "11c"),
    Mistake("log-of-zero", "the logarithm of a probability rounded to 0; compute log y by log-sum-exp", "11b"),
    Mistake("no-maximum", "the row's maximum is not subtracted before exp, which overflows", "11a"),
    Mistake("batch-maximum", "the batch's maximum, not the row's, is subtracted: a row underflows to 0/0", "11a"),
    Mistake("softmax-axis", "softmax runs over the wrong axis, or over the whole batch", "1"),
    Mistake("softmax-twice", "softmax is applied twice: the output layer takes logits, not probabilities", "1"),
    # State and the caller's arrays
    Mistake("gradients-accumulated", "gradients are added to earlier ones: write dW[...] = …, not dW += …", "12a"),
    Mistake("stale-values", "backward uses something that an earlier call left behind", "12a"),
    Mistake("caller-array-changed", "an array that belongs to the caller is changed in place", "13a"),
    Mistake("update-before-dx", "backward changes the parameters: updates do not belong there, nor before dx", "12c"),
    Mistake("view-replaced", "a name is bound to a new array, unknown to the network: write dW[...] = …", "12a"),
    # Not to be compared at all
    Mistake("wrong-shape", "a gradient has the shape of what it is the gradient of", "12a"),
    Mistake("wrong-dtype", "float64 went in, something else came out", "15"),
    Mistake("rounding", "right but for rounding: float32 somewhere inside, or a tiny constant added", "15"),
    Mistake("random", "forward gives another output for the same input; seed it, or nothing can be checked", "15"),
    Mistake("not-a-mean", "the loss is a sum over the batch; it should be the mean, with 1/N in forward too", "10"),
    Mistake("not-finite", "the result is NaN or infinite for harmless input", "11a"),
    Mistake("raises", "it raises an error for harmless input", "12a"),
    Mistake("protocol", "it lacks a member that a network needs; see minnet/layers.py and minnet/output.py", "12a"),
    Mistake(
        "no-stack", "right alone, wrong in a stack: use axis=-1 and -2, .mT, and parameters of shape (1, D)", "12a"
    ),
    # Outside the layers, where no check of a layer can see it
    Mistake("targets-not-summing", "rows of targets sum to more than 1, so that y − t is not the gradient", "8"),
    Mistake("labels-from-one", "class numbers start at 1: there is a class too many, which never occurs"),
    Mistake("labels-column", "labels of shape (N, 1) are compared with predictions of shape (N,): all with all"),
    Mistake("x-shuffled-alone", "the samples are shuffled, the targets are not", "10"),
    Mistake("integer-arrays", "features are centred in unsigned integers, where 0 − 1 is 255"),
    Mistake("scaler-before-split", "features are standardised before the data is split: the test samples leak"),
    Mistake("unknown", "none of the known mistakes fits; compare these entries with the equations", "12a"),
)
MISTAKES = {mistake.name: mistake for mistake in ALL_MISTAKES}


def explains(guess: Array, analytic: Array) -> bool:
    """Tell whether a prediction is the analytic gradient."""
    return bool(np.abs(guess - analytic).max() <= EXPLAINED * np.abs(analytic).max())


def diagnose(comparisons: Sequence[Comparison]) -> list[tuple[str, str]]:
    """Name the mistakes in one quantity of a layer, from its comparisons in several shapes, and say what is seen.

    Returns
    -------
    list of (str, str)
        Empty if nothing is wrong; two where the sign is flipped on top of another mistake; "unknown" if no mistake
        explains all shapes.
    """
    wrong = [c for c in comparisons if c.wrong]
    if not wrong:
        return []
    if all(explains(c.numeric, c.analytic) for c in comparisons):
        return [("rounding", f"the error is only {max(c.error for c in wrong):.1e}, but exact code has about 1e-16")]
    for sign, mistake in itertools.product((1, -1), ALL_MISTAKES):
        if fits(mistake, sign, comparisons):
            seen = [(mistake.name, mistake.seen)]
            flipped = ("sign-flipped", "its sign is the opposite of what it should be; but for that:")
            return seen if sign > 0 else [flipped, *seen]
    factor = constant_factor(comparisons)
    if factor:
        return [factor]
    if all(map(rows_are_shuffled, wrong)):
        return [("rows-shuffled", "the rows are all there, but in another order")]
    shown = max(wrong, key=lambda c: (c.N > 1, c.error))  # one sample alone shows less of a pattern
    return [("unknown", shown.worst_entries())]


def fits(mistake: Mistake, sign: int, comparisons: Sequence[Comparison]) -> bool:
    """Tell whether a mistake, with a sign, gives the analytic gradient in every shape in which it makes sense."""
    if mistake.formula is None:
        return False
    tried = False
    for c in comparisons:
        try:
            wrong = sign * mistake.formula(c)
            makes_sense = wrong.shape == c.analytic.shape
        except (KeyError, ValueError):  # something is not given, or does not fit
            makes_sense = False
        if makes_sense:
            if not explains(wrong, c.analytic):
                return False
            tried |= c.wrong
        elif c.wrong and not mistake.only_square:
            return False
    return tried


def constant_factor(comparisons: Sequence[Comparison]) -> tuple[str, str] | None:
    """Name the mistake and say what is seen, if analytic / numeric is the same everywhere, or changes with N alone."""
    ratios = np.array([(c.analytic * c.numeric).sum() / max((c.numeric**2).sum(), 1e-300) for c in comparisons])
    if not all(explains(ratio * c.numeric, c.analytic) for ratio, c in zip(ratios, comparisons, strict=True)):
        return None
    sizes = [c.N for c in comparisons]
    by_n = ratios / sizes
    if len(set(sizes)) > 1 and 0 < by_n[0] <= 0.5 and np.ptp(by_n) <= EXPLAINED * by_n[0]:
        return "nominal-batch-size", f"analytic / numeric is N/{1 / by_n[0]:.4g}, for each N tried"
    if np.ptp(ratios) <= EXPLAINED * abs(ratios[0]):
        return "constant-factor", f"analytic / numeric is {ratios[0]:.6g} everywhere"
    return None


def rows_are_shuffled(c: Comparison) -> bool:
    """Tell whether the analytic rows are the numeric ones in another order."""
    rows = (sorted(array.reshape(-1, array.shape[-1]).tolist()) for array in (c.numeric, c.analytic))
    return explains(*map(np.array, rows))
