"""Is this backward pass right, and if not, what is wrong with it? Layers, output layers and whole networks on trial.

A layer is tried alone, in several shapes and in a stack: its gradients against complex steps, its manners (no array of
the caller's changed, nothing accumulated, nothing stale) by looking. What is wrong gets its name from diagnosis.py.
"""

from __future__ import annotations

import copy
import inspect
import itertools
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from minnet.gradient_check import numeric_gradient
from minnet.lab.mistakes import MISTAKES, Comparison, Finding, diagnose, worst_entries
from minnet.layers import RandomNumbers
from minnet.network import Network, bind
from minnet.output import SoftmaxCrossEntropy, log_softmax

Array = npt.NDArray[Any]
Values = Mapping[str, Array]
Loss = Callable[[Values], Any]

COMPLEX_STEP, COMPLEX_TOLERANCE = 1e-30, 1e-10
DIFFERENCE_STEP, DIFFERENCE_TOLERANCE = (
    6e-6,
    1e-6,
)  # the step is the cube root of the rounding unit: the least total error
NUDGES = 5


class Row(NamedTuple):
    """A line of a report: a quantity, its largest error relative to its largest gradient, where, and what is there."""

    quantity: str
    shape: tuple[int, ...]
    error: float
    where: tuple[int, ...]
    wrong: bool
    entries: str

    @classmethod
    def of(cls, c: Comparison) -> Self:
        """Make the row of a comparison."""
        return cls(c.quantity, c.analytic.shape, c.error, c.where, c.wrong, worst_entries(c))


@dataclass
class Report:
    """What a check found.

    Attributes
    ----------
    subject : str
        What was checked.
    rows : list of Row
        The comparisons.
    findings : list of Finding
        The mistakes; none if everything is right.
    notes : list of str
        What the reader should know about how it was checked.
    """

    subject: str
    rows: list[Row] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether nothing wrong was found."""
        return not self.findings

    def _rows(self) -> list[str]:
        """Format the rows as lines of a table."""
        lines = [("quantity", "shape", "largest error", "where", "")]
        for row in self.rows:
            shape, verdict = "×".join(map(str, row.shape)), "WRONG" if row.wrong else "ok"
            lines.append((row.quantity, shape, f"{row.error:.1e}", str(row.where) if row.wrong else "", verdict))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return ["  " + "  ".join(f"{c:<{w}}" for c, w in zip(line, widths, strict=True)).rstrip() for line in lines]

    def table(self) -> str:
        """Format subject, rows and notes, without naming any mistake."""
        notes = [f"note: {note}" for note in self.notes]
        return "\n".join([self.subject, *(self._rows() if self.rows else []), *notes])

    def anonymous(self) -> str:
        """Format the numbers alone, without names, for a quiz."""
        if not self.rows:
            return "the check of gradients finds nothing: every layer is right"
        wrong = [f"  {row.quantity}: {row.entries}" for row in self.rows if row.wrong]
        lines = ["what the check measures:", *self._rows(), *(["the worst entries:", *wrong] if wrong else [])]
        return "\n".join(lines)

    def diagnosis(self) -> str:
        """Format the findings: what was seen, what it usually means, what to read."""
        if self.right:
            return "right: every gradient agrees with the slope of the loss"
        text = []
        for name, saw in self.findings:
            mistake = MISTAKES[name]
            text += [f"WRONG: {name}", f"  seen:  {saw}", f"  means: {mistake.meaning}"]
            text += [f"  read:  docs/derivation.md, equation ({mistake.equation})"]
        return "\n".join(text)

    def __str__(self) -> str:
        return f"{self.table()}\n{self.diagnosis()}"


class Case(NamedTuple):
    """The sizes in which a layer is tried: samples, features, outputs (or classes), and the axis of a stack."""

    N: int
    D: int
    H: int
    stack: tuple[int, ...] = ()

    def __str__(self) -> str:
        return f"N={self.N}, D={self.D}, H={self.H}" + (f", a stack of {self.stack[0]}" if self.stack else "")


# N, D and H differ from each other and from 2 in the first; are all the same in the second; one sample in the third.
LAYER_CASES = (Case(7, 5, 4), Case(5, 3, 6), Case(4, 4, 4), Case(1, 3, 5), Case(7, 5, 4, (3,)))


class Slopes(NamedTuple):
    """Numeric gradients, by quantity, and how they were found."""

    gradients: dict[str, Array]
    tolerance: float
    note: str


def slopes(loss: Loss, values: Values, rng: np.random.Generator) -> Slopes | None:
    """Differentiate a loss numerically with respect to each of its arguments; None if they lie on a kink.

    Parameters
    ----------
    loss : callable
        Takes a mapping of arrays and returns a number, complex if one of the arrays is.
    values : mapping of str to array of float64
        Where to differentiate.
    rng : numpy.random.Generator
        Draws the direction along which it is first found out whether complex steps can be trusted.

    Returns
    -------
    Slopes or None
        By complex steps (eq. 15) where the loss takes complex numbers and agrees with central differences along one
        direction; else by central differences, whose tolerance is larger.
    """
    direction = {name: rng.normal(size=value.shape) for name, value in values.items()}

    def along(step: complex) -> Any:
        return loss({name: value + step * direction[name] for name, value in values.items()})

    h = DIFFERENCE_STEP
    here, right, left = along(0.0), (along(h) - along(0.0)) / h, (along(0.0) - along(-h)) / h
    central, size = (right + left) / 2, abs(right) + abs(left) + 1e-3 * abs(here) + 1e-6
    if abs(right - left) > 1e-2 * size:
        return None
    problem = ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", np.exceptions.ComplexWarning)
            above, below = along(1j * COMPLEX_STEP), along(-1j * COMPLEX_STEP)
        if not (
            np.iscomplexobj(above) and np.isfinite(above) and abs(above.imag / COMPLEX_STEP - central) <= 1e-3 * size
        ):
            problem = "it loses the imaginary part of complex numbers"
        elif abs(above.imag + below.imag) / COMPLEX_STEP > 1e-6 * size:
            return None
    except Exception as error:  # a learner's code may raise anything
        problem = f"complex numbers make it raise {type(error).__name__}"

    def derivative(name: str, index: tuple[int, ...]) -> float:
        def shifted(step: complex) -> Any:
            value: Array = np.array(values[name], dtype=complex if isinstance(step, complex) else float)
            value[index] += step
            return loss({**values, name: value})

        if problem:
            return float((shifted(h) - shifted(-h)) / (2 * h))
        return float(shifted(1j * COMPLEX_STEP).imag / COMPLEX_STEP)

    gradients = {}
    for name, value in values.items():
        entries = [derivative(name, index) for index in np.ndindex(*value.shape)]
        gradients[name] = np.reshape(entries, value.shape)
    if problem:
        note = f"{problem}, so central differences were used, which are exact to about {DIFFERENCE_TOLERANCE:.0e} only"
        return Slopes(gradients, DIFFERENCE_TOLERANCE, note)
    return Slopes(gradients, COMPLEX_TOLERANCE, "")


class Trial:
    """One layer or output layer, tried in one case: what it says, what is true, and what it did that it should not.

    Parameters
    ----------
    case : Case
        The sizes.

    Attributes
    ----------
    comparisons : list of Comparison
        Each quantity's gradient, analytic beside numeric.
    findings : list of Finding
        What is wrong beyond values.
    notes : list of str
        How it was checked.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.comparisons: list[Comparison] = []
        self.findings: list[Finding] = []
        self.notes: list[str] = []

    def find(self, name: str, saw: str) -> None:
        """Note a mistake."""
        self.findings.append(Finding(name, f"{saw} ({self.case})"))

    def unchanged(self, arrays: Mapping[str, Array], before: Mapping[str, Array], when: str) -> None:
        """Note a mistake if the caller's arrays are not what they were, and put them right."""
        for name, array in arrays.items():
            if not np.array_equal(array, before[name], equal_nan=True):
                self.find("caller-array-changed", f"{when} changed {name}, which was given to it")
                array[...] = before[name]


def as_array(trial: Trial, value: object, like: Array, what: str) -> Array | None:
    """Return what a pass gave back if it can be compared with ``like``, else note why not."""
    if not isinstance(value, np.ndarray) or value.shape != like.shape:
        got = f"shape {value.shape}" if isinstance(value, np.ndarray) else f"{value!r:.40} (is there a return?)"
        trial.find("wrong-shape", f"{what} should have shape {like.shape}, got {got}")
    elif value.dtype != like.dtype:
        trial.find("wrong-dtype", f"{what} should be {like.dtype}, got {value.dtype}")
    elif not np.isfinite(value).all():
        trial.find("not-finite", f"{what} has entries that are NaN or infinite")
    else:
        return value.copy()
    return None


def try_layer(make: Callable[[Case], Any], case: Case, rng: np.random.Generator, fresh: bool) -> Trial | None:
    """Try a layer in one case; ``fresh`` without an earlier batch behind it. None if it stood on a kink."""
    trial = Trial(case)
    layer = make(case)
    shapes: Mapping[str, tuple[int, ...]] = layer.shapes
    n = sum(map(math.prod, shapes.values()))
    theta, dtheta = np.zeros((*case.stack, n)), np.zeros((*case.stack, n))
    bind([layer], theta, dtheta)
    layer.initialize(rng, None)
    theta += rng.normal(0, 0.3, theta.shape)
    if hasattr(layer, "random"):
        networks = case.stack[0] if case.stack else 1
        layer.random = RandomNumbers([np.random.default_rng([1, s]) for s in range(networks)], bool(case.stack))
    if not fresh:
        layer.backward(rng.normal(size=layer.forward(rng.normal(size=(*case.stack, case.N, case.D))).shape))

    x = rng.normal(size=(*case.stack, case.N, case.D))
    given, random_given = {"x": x}, copy.deepcopy(getattr(layer, "random", None))
    own = [name for name in shapes if not name.startswith("running_")]
    theta_given = {name: getattr(layer, name).copy() for name in own}

    def twin() -> Any:
        """Give a copy that draws the random numbers that the layer drew."""
        other = copy.copy(layer)
        if random_given is not None:
            other.random = copy.deepcopy(random_given)
        return other

    before = {"x": x.copy()}
    output = layer.forward(x)
    trial.unchanged(given, before, "forward")
    if not isinstance(output, np.ndarray) or output.dtype != np.float64 or not np.isfinite(output).all():
        kind = output.dtype if isinstance(output, np.ndarray) else type(output).__name__
        finite = isinstance(output, np.ndarray) and output.dtype == np.float64
        trial.find("not-finite" if finite else "wrong-dtype", f"forward gave {kind} for finite float64 samples")
        return trial
    if not np.array_equal(twin().forward(x.copy()), output):
        trial.find("random", "two calls of forward with the same samples differ")
        return trial
    doutput: Array = np.asarray(rng.normal(size=output.shape))
    given["doutput"], before["doutput"] = doutput, doutput.copy()

    def gradients(when: str) -> dict[str, Array]:
        """Call backward and collect what can be compared."""
        found = {"x": as_array(trial, layer.backward(doutput), x, "dx")}
        trial.unchanged(given, before, when)
        for name in own:
            if not np.array_equal(getattr(layer, name), theta_given[name]):
                trial.find("update-before-dx", f"{when} changed the parameters")
                getattr(layer, name)[...] = theta_given[name]
        for name in shapes:
            view = getattr(layer, "d" + name)
            if (
                isinstance(view, np.ndarray)
                and view.shape == getattr(layer, name).shape
                and not np.shares_memory(view, dtheta)
            ):
                trial.find("view-replaced", f"after {when}, d{name} is not a view into dtheta any more")
            found[name] = as_array(trial, view, getattr(layer, name), "d" + name)
        return {name: array for name, array in found.items() if array is not None}

    analytic = gradients("backward")
    if not trial.findings:
        again = gradients("the second backward")
        for name, array in analytic.items():
            if not np.array_equal(array, again.get(name, array)):
                ratio = "twice " if np.allclose(again[name], 2 * array) else "other than "
                trial.find("gradients-accumulated", f"a second backward gives d{name} {ratio}what the first gave")

    def loss(values: Values) -> Any:
        other = twin()
        for name in shapes:
            setattr(other, name, values[name].copy())
        return (before["doutput"] * other.forward(values["x"].copy())).sum()

    values = {"x": before["x"], **{name: getattr(layer, name).copy() for name in shapes}}
    numeric = slopes(loss, values, rng)
    if numeric is None:
        return None
    trial.notes += [numeric.note] if numeric.note else []
    for name, array in analytic.items():
        context: dict[str, Any] = {"doutput": before["doutput"], "W": values.get("W")}
        pair = array, numeric.gradients[name]
        context["in_stack"] = bool(case.stack)
        c = Comparison("d" + name, *pair, numeric.tolerance, case.N, output.shape[-1], **context)
        trial.comparisons.append(c)
    return trial


def try_output(make: Callable[[Case], Any], case: Case, rng: np.random.Generator, fresh: bool) -> Trial | None:
    """Try an output layer in one case; ``fresh`` without an earlier batch behind it. None if it stood on a kink."""
    trial, layer, K = Trial(case), make(case), case.H
    shape = (*case.stack, case.N, K)
    soft = rng.dirichlet(np.ones(K), size=shape[:-1])
    t = soft if case.N != 5 else np.eye(K)[rng.integers(K, size=shape[:-1])]
    if not fresh:
        layer.forward(rng.normal(size=shape), soft[..., ::-1].copy())
        layer.backward()
    z = rng.normal(0, 1.5, shape)
    given, before = {"z": z, "t": t}, {"z": z.copy(), "t": t.copy()}
    loss_here = np.asarray(layer.forward(z, t))
    trial.unchanged(given, before, "forward")
    if loss_here.shape != case.stack:
        trial.find("wrong-shape", f"the loss should have shape {case.stack}, got {loss_here.shape}")
        return trial
    if not np.isfinite(loss_here).all():
        trial.find("not-finite", f"the loss is {loss_here}")
        return trial
    if not np.array_equal(copy.copy(layer).forward(z.copy(), t.copy()), loss_here):
        trial.find("random", "two calls of forward with the same logits differ")
        return trial
    twice = copy.copy(layer).forward(*(np.concatenate([a, a], axis=-2) for a in (z, t)))
    if np.allclose(twice, 2 * loss_here, rtol=1e-9) and not np.allclose(twice, loss_here, rtol=1e-9):
        trial.find("not-a-mean", "the same batch twice over costs twice as much")
        return trial
    analytic = as_array(trial, layer.backward(), z, "dz")
    trial.unchanged(given, before, "backward")
    if analytic is None:
        return trial
    again = as_array(trial, layer.backward(), z, "dz")
    if again is not None and not np.array_equal(analytic, again):
        trial.find("gradients-accumulated", "a second backward gives another dz than the first")

    def loss(values: Values) -> Any:
        return copy.copy(layer).forward(values["z"].copy(), t.copy()).sum()

    numeric = slopes(loss, {"z": before["z"]}, rng)
    if numeric is None:
        return None
    trial.notes += [numeric.note] if numeric.note else []
    context: dict[str, Any] = {"y": np.exp(log_softmax(before["z"])), "t": before["t"], "in_stack": bool(case.stack)}
    c = Comparison("dz", analytic, numeric.gradients["z"], numeric.tolerance, case.N, K, **context)
    trial.comparisons.append(c)
    return trial


def try_off_kinks(
    attempt: Callable[..., Trial | None], make: Callable[[Case], Any], case: Case, seed: int, fresh: bool = False
) -> Trial:
    """Try with new random numbers until no kink is in the way; an error that is raised is a finding."""
    for nudge in range(NUDGES):
        try:
            trial = attempt(make, case, np.random.default_rng([seed, nudge]), fresh)
        except Exception as error:  # a learner's code may raise anything
            trial = Trial(case)
            trial.find("raises", f"{type(error).__name__}: {error}")
        if trial is not None:
            if nudge:
                trial.notes.append(f"the first samples lay on a kink, and were drawn again {nudge} times ({case})")
            return trial
    trial = Trial(case)
    saw = f"wherever it was tried, {NUDGES} times, its slopes to the left and to the right differ"
    trial.find("unknown", f"{saw}: it has kinks everywhere, or computes in float32 inside")
    return trial


def conclude(subject: str, trials: list[Trial], fresh_trials: Callable[[], list[Trial]]) -> Report:
    """Make one report of the trials of a layer in all cases."""
    report = Report(subject)
    for trial in trials:
        report.notes += [note for note in trial.notes if note not in report.notes]
    quantities = list(dict.fromkeys(c.quantity for trial in trials for c in trial.comparisons))
    compared = {q: [c for trial in trials for c in trial.comparisons if c.quantity == q] for q in quantities}
    for comparisons in compared.values():
        worst = max(comparisons, key=lambda c: c.error)
        report.rows.append(Row.of(worst))
    if compared and all(not np.any(c.numeric) for comparisons in compared.values() for c in comparisons):
        report.findings.append(Finding("unknown", "checked nothing: every numeric gradient is 0"))

    manners = [finding for trial in trials for finding in trial.findings if finding.name != "raises"]
    raised = [finding for trial in trials for finding in trial.findings if finding.name == "raises"]
    values = []
    for comparisons in compared.values():  # one network says more clearly what is wrong than a stack
        alone = [c for c in comparisons if not c.in_stack]
        values += (diagnose(alone) if any(c.wrong for c in alone) else []) or diagnose(comparisons)
    only_in_stack = all(
        trial.case.stack for trial in trials if trial.findings or any(c.wrong for c in trial.comparisons)
    )
    if (manners or raised or values) and only_in_stack and any(trial.case.stack for trial in trials):
        saw = (manners + raised + values)[0].saw
        report.findings.append(Finding("no-stack", f"only in a stack: {saw}"))
    elif manners:
        report.findings += {finding.name: finding for finding in reversed(manners)}.values()
    elif values:
        if not any(c.wrong for trial in fresh_trials() for c in trial.comparisons):
            saw = f"{values[0].saw.split(':')[0]} is right for the first batch, wrong for the next"
            values = [Finding("stale-values", saw)]
        report.findings += {finding.name: finding for finding in reversed(values)}.values()
        named = [finding.name for finding in report.findings]
        if raised and named == ["unknown"]:
            report.findings = raised[:1]
    elif raised:
        report.findings += raised[:1]
    return report


def construct(cls: type[Any], case: Case) -> Any:
    """Make a layer whose constructor takes nothing, (D) or (D, H)."""
    required = [
        p for p in inspect.signature(cls).parameters.values() if p.default is p.empty and p.kind <= p.KEYWORD_ONLY
    ]
    names = [p.name for p in required if p.kind != p.VAR_POSITIONAL]
    sizes = {"D": case.D, "H": case.H, "K": case.H}
    if all(name in sizes for name in names):
        return cls(**{name: sizes[name] for name in names})
    if len(names) <= 2:
        return cls(*(case.D, case.H)[: len(names)])
    raise TypeError(
        f"{cls.__name__} takes {', '.join(names)}: expected a constructor that takes nothing, (D) or (D, H)"
    )


def is_output(cls: type[Any]) -> bool:
    """Tell an output layer, forward(z, t), from a layer, forward(x)."""
    forward = getattr(cls, "forward", None)
    return forward is not None and len(inspect.signature(forward).parameters) >= 3


def check_class(cls: type[Any]) -> Report:
    """Check a layer or output layer of one's own, alone.

    Parameters
    ----------
    cls : class
        Written to the protocol of `minnet.layers.Layer`, with a constructor that takes nothing, (D) or (D, H); or to
        that of `minnet.output.OutputLayer`, with a constructor that takes nothing.

    Returns
    -------
    Report
        Errors relative to the largest gradient of the quantity; right if at most 1e-10 (1e-6 by central differences).
    """
    name = cls.__name__
    members = ("forward", "backward") if is_output(cls) else ("forward", "backward", "initialize")
    missing = [member for member in members if not callable(getattr(cls, member, None))]
    try:
        instance = construct(cls, LAYER_CASES[0])
        missing += [] if is_output(cls) or hasattr(instance, "shapes") else ["shapes"]
    except Exception as error:  # a learner's code may raise anything
        return Report(name, findings=[Finding("raises", f"its constructor: {type(error).__name__}: {error}")])
    if missing:
        return Report(name, findings=[Finding("protocol", f"it has no {', '.join(missing)}")])
    attempt = try_output if is_output(cls) else try_layer

    def make(case: Case) -> Any:
        return construct(cls, case)

    def trials(fresh: bool) -> list[Trial]:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return [try_off_kinks(attempt, make, case, seed, fresh) for seed, case in enumerate(LAYER_CASES)]

    kind = "output layer" if is_output(cls) else "layer"
    report = conclude(f"{name}, {kind}, tried in {len(LAYER_CASES)} shapes", trials(False), lambda: trials(True))
    if is_output(cls):
        special = check_extremes(lambda: make(LAYER_CASES[0]))
        # A loss that is not what it should be explains a gradient that does not fit it; a name already found stays.
        if special and (report.right or {finding.name for finding in report.findings} & {"other-loss", "unknown"}):
            report.findings = special[:1]
    return report


def check_extremes(make: Callable[[], Any]) -> list[Finding]:
    """Try an output layer where softmax and cross-entropy go wrong: probabilities, huge logits, certainty."""

    def value(z: list[list[float]], t: list[list[float]], dtype: str = "float64") -> float:
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                return float(make().forward(np.array(z, dtype), np.array(t, dtype)))
        except Exception:  # a learner's code may raise anything
            return math.nan

    def exact(z: list[list[float]], t: list[list[float]]) -> float:
        return float(SoftmaxCrossEntropy().forward(np.array(z), np.array(t)))

    def is_exact(z: list[list[float]], t: list[list[float]], rel_tol: float = 1e-4) -> bool:
        return math.isclose(value(z, t), exact(z, t), rel_tol=rel_tol, abs_tol=1e-6)

    findings: list[Finding] = []
    rng = np.random.default_rng(0)
    z_small, t_small = rng.normal(size=(4, 3)).tolist(), rng.dirichlet(np.ones(3), size=4).tolist()
    first, last = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]
    if hasattr(make(), "probabilities"):
        z = np.array(z_small)
        with np.errstate(all="ignore"):
            y = np.asarray(make().probabilities(z))
        sums = y.sum(axis=-1)
        # Softmax over another axis, or over all entries, and not another kind of output such as sigmoid's.
        elsewhere = np.allclose(y.sum(axis=-2), 1) or np.allclose(y.sum(), 1)
        if elsewhere and not np.allclose(sums, 1):
            findings.append(
                Finding("softmax-axis", f"the probabilities of four samples sum to {np.round(sums, 3).tolist()}")
            )
    small = [(z_small, t_small), ([[1.0, 2.0, 0.5]], [first]), ([[1.0, 2.0, 0.5]], [last])]
    floor = math.log(1 + 2 * math.exp(-1))
    if math.isclose(value([[50.0, 0, 0]], [first]), floor, abs_tol=1e-3):
        findings.append(
            Finding("softmax-twice", f"a sample classified with full certainty still costs {floor:.3f}, not 0 (K = 3)")
        )
    if findings or not all(is_exact(*pair, rel_tol=1e-4) for pair in small):
        return findings  # it is another loss, to which the rest does not apply
    if not math.isfinite(value([[1000.0, 999, 998]], [first])):
        findings.append(Finding("no-maximum", "at logits 1000, 999, 998 the loss is not finite; exact is 0.408"))
    elif not math.isfinite(value([[1000.0, 999, 998], [-1000, -1001, -1002]], [first, first])):
        findings.append(
            Finding("batch-maximum", "logits around 1000 and around −1000 work alone, but not as two rows of a batch")
        )
    saturated = [[0.0, 0.0, 1000.0]]
    if findings or is_exact(saturated, [first]):
        return findings
    cost = value(saturated, [first])
    if not math.isfinite(cost):
        findings.append(Finding("log-of-zero", f"at logits 0, 0, 1000 the loss is {cost}; exact is 1000"))
    elif not math.isfinite(value([[0.0, 0.0, 200.0]], [first], "float32")):
        findings.append(
            Finding(
                "epsilon-too-small", "at logits 0, 0, 200 in float32 the loss is not finite, though in float64 it is"
            )
        )
    else:
        slope = (value([[0.001, 0.0, 20.0]], [first]) - value([[-0.001, 0.0, 20.0]], [first])) / 0.002
        saw = f"exact at small logits, but at 0, 0, 1000 the loss is {cost:.4g} instead of 1000, "
        saw += f"and at 0, 0, 20 its slope is {slope:.2g} where y − t says −1"
        findings.append(Finding("log-epsilon", saw))
    return findings


def check_network(network: Network, x: Array, t: Array) -> Report:
    """Check every parameter of a network, and if one is wrong, each kind of layer alone.

    Parameters
    ----------
    network : Network
        Or a stack of them. It is not changed; the check runs in double precision.
    x : array of shape (N, D)
        Samples; a few are enough.
    t : array of shape (N,) or (N, K)
        Targets.

    Returns
    -------
    Report
        A row for each parameter, its errors relative to its own largest gradient, and one for the whole network.

    Raises
    ------
    ValueError
        If every gradient is 0, so that nothing would be compared.
    """
    x = x.astype(np.float64)
    double = network.at(network.theta.astype(np.float64))
    widths = [
        network.D,
        *(shape[-1] for layer in network.layers for name, shape in layer.shapes.items() if name == "W"),
    ]
    stack = network.theta.shape[:-1]
    subject = f"a stack of {stack[0]} networks, each " if stack else ""
    subject += f"Network({' → '.join(map(str, widths))}), {network.theta.shape[-1]:,} parameters"
    report = Report(f"{subject}, {len(x)} samples, float64")
    rng = np.random.default_rng(0)
    for nudge in itertools.count():
        direction = 1j * COMPLEX_STEP * rng.normal(size=double.theta.shape)
        above, below = (double.at(double.theta + step).forward(x, t).imag for step in (direction, -direction))
        smooth = np.abs(above + below) <= 1e-9 * np.abs(above) + 1e-14 * COMPLEX_STEP
        if smooth.all() or nudge == NUDGES:
            break
        double.theta += rng.normal(0, 1e-3, double.theta.shape)
        report.notes = [
            f"some unit stood exactly on its kink, so the parameters were moved by about 0.001, {nudge + 1} times"
        ]
    numeric = numeric_gradient(double, x, t)  # first: what dropout drops next is the same for both
    double.forward(x, t)
    double.backward()
    analytic = double.dtheta
    if not np.abs(numeric).max() > 1e-14:
        raise ValueError(
            "checked nothing: every gradient is 0 to rounding, or NaN; choose other samples or other weights"
        )
    comparisons = []
    floor = float(1e-4 * np.abs(numeric).max())
    places = [
        (place, name, shape) for place, layer in enumerate(network.layers) for name, shape in layer.shapes.items()
    ]
    stops = itertools.accumulate(math.prod(shape) for _, _, shape in places)
    for (place, name, shape), stop in zip(places, stops, strict=True):
        part = slice(stop - math.prod(shape), stop)
        pair = analytic[..., part].reshape(*stack, *shape), numeric[..., part].reshape(*stack, *shape)
        quantity = f"layer {place}, {network.layers[place]}: d{name}"
        c = Comparison(quantity, *pair, COMPLEX_TOLERANCE, len(x), network.K, in_stack=bool(stack), floor=floor)
        comparisons.append(c)
        report.rows.append(Row.of(c))
    everything = Comparison("the whole network", analytic, numeric, COMPLEX_TOLERANCE, len(x), network.K)
    report.rows.append(Row.of(everything))
    if any(row.wrong for row in report.rows):
        for kind in dict.fromkeys(type(part) for part in (network.output, *reversed(network.layers))):
            alone = check_class(kind)
            report.findings += [Finding(name, f"{kind.__name__} alone: {saw}") for name, saw in alone.findings]
        if not report.findings:
            worst = max((c for c in comparisons if c.wrong), key=lambda c: c.error)
            saw = f"each layer is right alone, but not together; {worst.quantity}: {worst_entries(worst)}"
            report.findings = [Finding("unknown", saw)]
    return report
