"""Is this backward pass right, and if not, what is wrong with it? Layers, output layers and whole networks on trial."""

import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minnet.gradient_check import ROUNDING, numeric_gradient
from minnet.lab.extremes import check_extremes, quiet
from minnet.lab.mistakes import MISTAKES, Comparison, Finding, diagnose
from minnet.lab.trial import CASES, COMPLEX_STEP, COMPLEX_TOLERANCE, NUDGES, Case, OutputTrial, Trial
from minnet.layers import Array
from minnet.network import Network
from minnet.support.fit import described, slots
from minnet.support.text import table


@dataclass
class Report:
    """What a check found.

    Attributes
    ----------
    subject : str
        What was checked.
    rows : list of Comparison
        For each quantity, the shape with the largest error.
    findings : list of Finding
        The mistakes; none if everything is right.
    notes : list of str
        What the reader should know about how it was checked.
    """

    subject: str
    rows: list[Comparison] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether nothing wrong was found."""
        return not self.findings

    def _rows(self) -> list[str]:
        """Format the rows as lines of a table."""
        lines = [("quantity", "shape", "largest error", "where", "")] if self.rows else []
        for row in self.rows:
            shape = "×".join(map(str, row.analytic.shape))
            verdict = (str(row.worst(1)[0]), "WRONG") if row.wrong else ("", "ok")
            lines.append((row.quantity, shape, f"{row.error:.1e}", *verdict))
        return [f"  {line}" for line in table(lines)]

    def table(self) -> str:
        """Format subject, rows and notes, without naming any mistake."""
        return "\n".join([self.subject, *self._rows(), *(f"note: {note}" for note in self.notes)])

    def anonymous(self) -> str:
        """Format the numbers alone, without names, for a quiz."""
        if not self.rows:
            return "the check of gradients finds nothing: every layer is right"
        wrong = [f"  {row.quantity}: {row.worst_entries()}" for row in self.rows if row.wrong]
        return "\n".join(
            ["what the check measures:", *self._rows(), *(["the worst entries:"] if wrong else []), *wrong]
        )

    def diagnosis(self) -> str:
        """Format the findings: what was seen, what it usually means, what to read."""
        if self.right:
            return "right: every gradient agrees with the slope of the loss"
        lines = []
        for name, saw in self.findings:
            mistake = MISTAKES[name]
            lines += [f"WRONG: {name}", f"  seen:  {saw}", f"  means: {mistake.meaning}"]
            lines += [f"  read:  docs/derivation.md, equation ({mistake.equation})"] if mistake.equation else []
        return "\n".join(lines)

    def __str__(self) -> str:
        return f"{self.table()}\n{self.diagnosis()}"


def conclude(subject: str, trials: Sequence[Trial], fresh_trials: Sequence[Trial]) -> Report:
    """Make one report of the trials of a layer in all cases; the fresh ones are run only if they can tell more."""
    comparisons = [c for trial in trials for c in trial.comparisons]
    quantities = dict.fromkeys(c.quantity for c in comparisons)
    compared = [[c for c in comparisons if c.quantity == quantity] for quantity in quantities]
    notes = dict.fromkeys(note for trial in trials for note in trial.notes)
    found = [finding for trial in trials for finding in trial.findings]
    raised = [finding for finding in found if finding.name == "raises"]
    manners = [finding for finding in found if finding.name != "raises"]
    values = []
    for same in compared:  # one network says more clearly what is wrong than a stack
        values += diagnose([c for c in same if not c.in_stack]) or diagnose(same)

    wrong = [trial for trial in trials if trial.findings or any(c.wrong for c in trial.comparisons)]
    if wrong and all(trial.case.stack for trial in wrong):
        findings = [Finding("no-stack", f"only in a stack: {(manners + raised + values)[0].saw}")]
    elif manners:
        findings = manners
    elif values and not any(c.wrong for trial in fresh_trials for c in trial.run().comparisons):
        saw = f"{values[0].saw.split(':')[0]} is right for the first batch, wrong for the next"
        findings = [Finding("stale-values", saw)]
    elif raised and all(finding.name == "unknown" for finding in values):
        findings = raised
    else:
        findings = values
    if comparisons and not any(np.any(c.numeric) for c in comparisons):
        findings.insert(0, Finding("unknown", "checked nothing: every numeric gradient is 0"))
    first_of_each = {finding.name: finding for finding in reversed(findings)}
    worst = [max(same, key=lambda c: c.error) for same in compared]
    return Report(subject, worst, list(first_of_each.values()), list(notes))


def construct(cls: type[Any], case: Case) -> Any:
    """Make a layer whose constructor takes nothing, (D) or (D, H)."""
    names = [
        p.name
        for p in inspect.signature(cls).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if len(names) > 2:
        raise TypeError(
            f"{cls.__name__} takes {', '.join(names)}: expected a constructor that takes nothing, (D) or (D, H)"
        )
    sizes = {"D": case.D, "H": case.H, "K": case.H}
    return cls(**{name: sizes.get(name, size) for name, size in zip(names, (case.D, case.H), strict=False)})


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
    missing = [member for member in ("forward", "backward") if not callable(getattr(cls, member, None))]
    if missing:
        return Report(name, findings=[Finding("protocol", f"it has no {', '.join(missing)}")])

    make = functools.partial(construct, cls)
    try:
        make(CASES[0])
    except Exception as error:  # a learner's code may raise anything
        return Report(name, findings=[Finding("raises", f"its constructor: {type(error).__name__}: {error}")])
    output = len(inspect.signature(cls.forward).parameters) >= 3  # self, z, t
    kind, called = (OutputTrial, "output layer") if output else (Trial, "layer")
    with quiet():
        trials = [kind(make, case).run() for case in CASES]
        fresh_trials = [kind(make, case, fresh=True) for case in CASES]
        report = conclude(f"{name}, {called}, tried in {len(CASES)} shapes", trials, fresh_trials)
    if output and (report.right or {finding.name for finding in report.findings} & {"other-loss", "unknown"}):
        # A loss that is not what it should be explains a gradient that does not fit it; a name already found stays.
        special = check_extremes(lambda: make(CASES[0]))
        report.findings = [special] if special else report.findings
    return report


def off_kinks(network: Network, x: Array, t: Array) -> list[str]:
    """Move the parameters until no unit stands on its kink, where there is no gradient; return a note if they were."""
    rng, moved = np.random.default_rng(0), "the parameters were moved by about 0.001"
    for moves in range(NUDGES):
        direction = 1j * COMPLEX_STEP * rng.normal(size=network.theta.shape)
        above, below = (network.at(network.theta + step).forward(x, t).imag for step in (direction, -direction))
        if np.all(np.abs(above + below) <= 1e-9 * np.abs(above) + 1e-14 * COMPLEX_STEP):
            return [f"some unit stood exactly on its kink, so {moved}, {moves} times"] if moves else []
        network.theta += rng.normal(0, 1e-3, network.theta.shape)
    return [f"some unit stands exactly on its kink, though {moved}, {NUDGES} times"]


def compare_parameters(network: Network, numeric: Array, N: int) -> list[Comparison]:
    """Hold each parameter's gradient, and at last all of them, against the numeric one."""
    stack, flat, rows = network.theta.shape[:-1], (network.dtheta, numeric), list[Comparison]()
    compared = functools.partial(
        Comparison,
        tolerance=COMPLEX_TOLERANCE,
        N=N,
        width=network.K,
        in_stack=bool(stack),
        rounding=ROUNDING * max(float(np.abs(numeric).max()), 1 / N),  # 1/N: the size of y and t, divided by N
    )
    for slot in slots(network.layers):
        pair = (gradient[..., slot.entries].reshape(*stack, *slot.shape) for gradient in flat)
        rows.append(compared(f"layer {slot.place}, {described(slot.layer)}: d{slot.name}", *pair))
    return [*rows, compared("the whole network", *flat)]


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
        A row for each parameter, its errors relative to its own largest gradient, and one for the whole network. A
        difference of `ROUNDING` times the network's largest gradient is none: that much is lost on the way.

    Raises
    ------
    ValueError
        If every gradient is 0, so that nothing would be compared.
    """
    x = x.astype(np.float64)
    double = network.at(network.theta.astype(np.float64))
    notes = off_kinks(double, x, t)
    numeric = numeric_gradient(double, x, t)
    double.forward(x, t)
    double.backward()
    if not np.abs(numeric).max() > 1e-14:
        raise ValueError(
            "checked nothing: every gradient is 0 to rounding, or NaN; choose other samples or other weights"
        )

    stack = network.theta.shape[:-1]
    widths = [network.D, *(slot.shape[-1] for slot in slots(network.layers) if slot.name == "W")]
    subject = f"a stack of {stack[0]} networks, each " if stack else ""
    subject += f"Network({' → '.join(map(str, widths))}), {network.theta.shape[-1]:,} parameters"
    report = Report(f"{subject}, {len(x)} samples, float64", compare_parameters(double, numeric, len(x)), notes=notes)
    tiny = [c.quantity for c in report.rows if c.size <= c.rounding and c.error > 0]
    if tiny:
        report.notes.append(f"0 to rounding, and so not compared any closer: {'; '.join(tiny)}")
    wrong = [c for c in report.rows[:-1] if c.wrong]
    if wrong:
        for kind in dict.fromkeys(map(type, (network.output, *reversed(network.layers)))):
            alone = check_class(kind)
            report.findings += [Finding(name, f"{kind.__name__} alone: {saw}") for name, saw in alone.findings]
        if not report.findings:
            worst = max(wrong, key=lambda c: c.error)
            saw = f"each layer is right alone, but not together; {worst.quantity}: {worst.worst_entries()}"
            report.findings.append(Finding("unknown", saw))
    return report
