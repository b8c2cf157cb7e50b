"""What does a layer do when it is tried? Its gradients beside the slopes of a loss, and its manners.

A layer is tried alone, in several shapes and in a stack: its gradients against complex steps, its manners (no array of
the caller's changed, nothing accumulated, nothing stale) by looking. What is wrong gets its name from mistakes.py.
"""

import copy
import inspect
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from minnet.lab.mistakes import COMPLEX_TOLERANCE, Comparison, Finding
from minnet.layers import Array, Layer
from minnet.output import log_softmax
from minnet.support.fit import shapes_of
from minnet.support.stack import RandomNumbers

Values = Mapping[str, Array]

COMPLEX_STEP = 1e-30
DIFFERENCE_TOLERANCE = 1e-6
NUDGES = 5


class Case(NamedTuple):
    """The sizes in which a layer is tried: samples, features, outputs (or classes), and the axis of a stack."""

    N: int
    D: int
    H: int
    stack: tuple[int, ...] = ()

    def __str__(self) -> str:
        return ", ".join(f"{name}={size}" for name, size in self._asdict().items() if size)


# N, D and H differ from each other and from 2 in the first; are all the same in the third; one sample in the fourth.
CASES = (Case(7, 5, 4), Case(5, 3, 6), Case(4, 4, 4), Case(1, 3, 5), Case(7, 5, 4, (3,)))


def required(cls: type[Any]) -> list[str]:
    """Name the arguments that a constructor cannot do without."""
    parameters = inspect.signature(cls).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def is_output(cls: type[Any]) -> bool:
    """Tell whether a class is one of output layers: whose forward takes targets, too."""
    return len(inspect.signature(cls.forward).parameters) >= 3  # self, z, t


def construct(cls: type[Any], case: Case) -> Any:
    """Make a layer whose constructor takes nothing, (D) or (D, H)."""
    names = required(cls)
    if len(names) > 2:
        raise TypeError(f"{cls.__name__} takes {', '.join(names)}: expected nothing, (D) or (D, H)")
    sizes = {"D": case.D, "H": case.H if len(names) > 1 else case.D, "K": case.H}
    return cls(**{name: sizes.get(name, size) for name, size in zip(names, (case.D, case.H), strict=False)})


class OnKink(Exception):
    """There is no gradient where a layer was tried: the slopes to the left and to the right differ."""


def slopes(loss: Callable[[Values], Any], values: Values, rng: "np.random.Generator") -> tuple[dict[str, Array], str]:
    """Differentiate a loss numerically with respect to each of its arguments.

    Parameters
    ----------
    loss : callable
        Takes a mapping of those arrays that have changed, and returns a number, complex if one of them is.
    values : mapping of str to array of float64
        Where to differentiate.
    rng : numpy.random.Generator
        Draws the direction along which it is first found out whether complex steps can be trusted.

    Returns
    -------
    gradients : dict of str to array
        By complex steps (eq. 15), or by central differences (eq. 14k).
    problem : str
        Why not by complex steps, if the loss does not take complex numbers, or disagrees with central differences.

    Raises
    ------
    OnKink
        If the values lie on a kink.
    """
    h = 6e-6  # the cube root of the rounding unit: the least error

    def at(step: complex, direction: Values) -> Any:
        return loss({name: values[name] + step * along for name, along in direction.items()})

    def complex_step(direction: Values) -> Any:
        return at(1j * COMPLEX_STEP, direction).imag / COMPLEX_STEP

    def central_difference(direction: Values) -> Any:
        return (at(h, direction) - at(-h, direction)) / (2 * h)

    direction = {name: rng.normal(size=value.shape) for name, value in values.items()}
    here, right, left = (at(step, direction) for step in (0, h, -h))
    size = (abs(right - here) + abs(left - here)) / h + 1e-3 * abs(here) + 1e-6
    if abs(right - here + left - here) > 1e-2 * h * size:
        raise OnKink("it has kinks everywhere, or computes in float32 inside: slopes to the left and right differ")
    problem = ""
    try:
        with warnings.catch_warnings(action="error", category=np.exceptions.ComplexWarning):
            if not abs(complex_step(direction) - central_difference(direction)) <= 1e-3 * size:
                problem = "it loses the imaginary part of complex numbers"
    except Exception as error:  # a learner's code may raise anything
        problem = f"complex numbers make it raise {type(error).__name__}"
    slope = central_difference if problem else complex_step
    gradients = {}
    for name, value in values.items():
        gradients[name] = np.reshape([slope({name: unit}) for unit in units(value.shape)], value.shape)
    return gradients, problem


def units(shape: tuple[int, ...]) -> Iterator[Array]:
    """Give the arrays of a shape that are 1 in one entry, each in turn, and 0 elsewhere."""
    for entry in np.ndindex(*shape):
        unit = np.zeros(shape)
        unit[entry] = 1
        yield unit


@dataclass
class Trial:
    """A layer or output layer, tried in one case: what it says, what is true, and what it did that it should not.

    Parameters
    ----------
    cls : class
        Of which it is made with a case's sizes.
    case : Case
        The sizes.
    is_output : bool
        Whether it is an output layer.
    fresh : bool
        Whether to try it without an earlier batch behind it.

    Attributes
    ----------
    comparisons : list of Comparison
        Each quantity's gradient, analytic beside numeric.
    findings : list of Finding
        What is wrong beyond values.
    note : str
        How it was checked, if not by complex steps.
    """

    cls: type[Any]
    case: Case
    is_output: bool
    fresh: bool = False

    def run(self) -> Self:
        """Try with new random numbers until no kink is in the way; an error that is raised is a finding."""
        self.note = ""
        self.inputs = ("z", "t") if self.is_output else ("x",)
        self.comparisons: list[Comparison] = []
        for nudge in range(NUDGES):
            self.findings: list[Finding] = []
            self.rng = np.random.default_rng([CASES.index(self.case), nudge])
            try:
                self.attempt()
                break
            except OnKink as kink:
                self.findings = [Finding("unknown", str(kink))]
            except Exception as error:  # a learner's code may raise anything
                self.findings = [Finding("raises", f"{type(error).__name__}: {error}, in {self.case}")]
                break
        return self

    def arrays(self) -> dict[str, Array]:
        """Return what the layer may read, but not change: its parameters, and what it is given."""
        return {name: getattr(self.layer, name) for name in self.views} | self.given

    def attempt(self) -> None:
        """Try the layer; raise OnKink where it has no gradient."""
        self.layer, self.views = construct(self.cls, self.case), dict[str, Array]()
        (self.prepare_output if self.is_output else self.prepare)()
        self.before = {name: array.copy() for name, array in self.arrays().items()}
        self.random = copy.deepcopy(getattr(self.layer, "random", None))
        output = self.forward(self.layer, self.given)
        self.unchanged("forward")
        like = self.given.get("doutput", np.zeros(self.case.stack))
        if self.comparable(output, like, "what forward returns") is None:
            return
        if not np.array_equal(self.again({}), output):
            self.find("random", f"two calls of forward with the same {self.inputs[0]} differ")
            return
        if self.is_output:
            twice = self.again({name: np.concatenate([self.before[name]] * 2, axis=-2) for name in self.inputs})
            if output.any() and np.allclose(twice, 2 * output, rtol=1e-9, atol=0):
                self.find("not-a-mean", "the same batch twice over costs twice as much")
        analytic = self.gradients("backward")
        if not self.findings:
            for name, array in self.gradients("the second backward").items():
                if not np.array_equal(array, analytic[name]):
                    self.find("gradients-accumulated", f"a second backward gives another d{name} than the first")
        self.compare(analytic)

    def compare(self, analytic: Values) -> None:
        """Hold gradients against the slopes of a loss."""
        given, doutput = self.before, self.before.get("doutput", 1)
        if self.is_output:
            given["y"] = np.exp(log_softmax(given["z"]))
        values = {name: given[name] for name in analytic}
        numeric, problem = slopes(lambda values: (doutput * self.again(values)).sum(), values, self.rng)
        tolerance = DIFFERENCE_TOLERANCE if problem else COMPLEX_TOLERANCE
        if problem:
            self.note = f"{problem}, so central differences were used, which are exact to about {tolerance:.0e} only"
        self.comparisons = [
            Comparison("d" + name, gradient, numeric[name], given, self.case.N, tolerance)
            for name, gradient in analytic.items()
        ]

    def prepare(self) -> None:
        """Fill the layer's parameters, and choose what it is given."""
        layer, case, rng = self.layer, self.case, self.rng
        for name, shape in shapes_of(layer).items():
            parameter, self.views[name] = np.zeros((2, *case.stack, *shape))
            setattr(layer, name, parameter)
            setattr(layer, "d" + name, self.views[name])
        getattr(layer, "initialize", Layer.initialize.__get__(layer))(rng, None)
        for name in self.views:
            parameter = getattr(layer, name)
            parameter += rng.normal(0, 0.3, parameter.shape)
        if hasattr(layer, "random"):
            generators = [np.random.default_rng([1, s]) for s in range(math.prod(case.stack))]
            layer.random = RandomNumbers(generators, bool(case.stack))
        shape = (*case.stack, case.N, case.D)
        if not self.fresh:
            layer.backward(rng.normal(size=layer.forward(rng.normal(size=shape)).shape))
        x = rng.normal(size=shape)
        self.given = {"x": x, "doutput": rng.normal(size=copy.copy(layer).forward(x.copy()).shape)}

    def prepare_output(self) -> None:
        """Choose logits and targets, one-hot in one case."""
        N, _, K, stack = self.case
        soft = self.rng.dirichlet(np.ones(K), size=(*stack, N))
        t = soft if N != 5 else np.eye(K)[soft.argmax(axis=-1)]
        if not self.fresh:
            self.layer.forward(self.rng.normal(size=soft.shape), soft[..., ::-1].copy())
            self.layer.backward()
        self.given = {"z": self.rng.normal(0, 1.5, soft.shape), "t": t}

    def forward(self, layer: Any, values: Values) -> Any:
        """Call a layer's forward with its inputs; the loss of one network may be any number."""
        output = layer.forward(*(values[name] for name in self.inputs))
        return np.asarray(output) if self.is_output else output

    def again(self, values: Values) -> Any:
        """Call forward of a copy that draws the random numbers that the layer drew, with copies of some values."""
        values = {name: value.copy() for name, value in {**self.before, **values}.items()}
        twin = copy.copy(self.layer)
        if self.random is not None:
            twin.random = copy.deepcopy(self.random)
        for name in self.views:
            setattr(twin, name, values[name])
        return self.forward(twin, values)

    def gradients(self, when: str) -> dict[str, Array]:
        """Call backward and collect what can be compared."""
        x = self.inputs[0]
        dx = self.layer.backward(*(array for name, array in self.given.items() if name not in self.inputs))
        found = {x: self.comparable(dx, self.given[x], "d" + x)}
        self.unchanged(when)
        for name, mine in self.views.items():
            view = getattr(self.layer, "d" + name)
            found[name] = self.comparable(view, mine, "d" + name)
            if found[name] is not None and view is not mine:
                self.find("view-replaced", f"after {when}, d{name} is not a view into dtheta any more")
        return {name: array for name, array in found.items() if array is not None}

    def find(self, name: str, saw: str) -> None:
        """Note a mistake."""
        self.findings.append(Finding(name, f"{saw}, in {self.case}"))

    def unchanged(self, when: str) -> None:
        """Note a mistake if arrays that are not the layer's to change are not what they were, and put them right."""
        for name, array in self.arrays().items():
            if name.startswith("running_") or np.array_equal(array, self.before[name], equal_nan=True):
                continue
            mistake = "caller-array-changed" if name in self.given else "update-before-dx"
            self.find(mistake, f"{when} changed {name}")
            array[...] = self.before[name]

    def comparable(self, value: Any, like: Array, what: str) -> Any:
        """Return what a pass gave back if it can be compared with an array like this, else note why not."""
        shape = getattr(value, "shape", f"{value!r:.40} (is there a return?)")
        if shape != like.shape:
            self.find("wrong-shape", f"{what} should have shape {like.shape}, got {shape}")
        elif value.dtype != like.dtype:
            self.find("wrong-dtype", f"{what} should be {like.dtype}, got {value.dtype}")
        elif not np.isfinite(value).all():
            self.find("not-finite", f"{what} has entries that are NaN or infinite")
        else:
            return value.copy()
        return None
