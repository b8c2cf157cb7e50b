"""Does an explanation hold each number of real steps, and do the steps stay those that training takes without it?"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minnet import SGD, Adam, BatchNorm, Dropout, LayerNorm, Linear, Network, ReLU, Tanh, explain, load_dataset
from minnet.cli.explain import verdict
from minnet.lab.explain import explain_training, tiny
from minnet.lab.walk import walk
from minnet.layers import Array, Layer
from minnet.output import SoftmaxCrossEntropy
from minnet.training import Training

IRIS = load_dataset("iris", dtype="float64")


def networks() -> dict[str, Network]:
    layers: dict[str, list[Layer]] = {
        "plain": [Linear(4, 5), ReLU(), Linear(5, 3)],
        "dropout": [Linear(4, 5), Tanh(), Dropout(0.4), Linear(5, 3)],
        "batch norm": [Linear(4, 5), BatchNorm(5), ReLU(), Linear(5, 3)],
        "layer norm, dropout": [Linear(4, 5), LayerNorm(5), ReLU(), Dropout(0.2), Linear(5, 3)],
        "no hidden layer": [Linear(4, 3)],
    }
    return {name: Network(each, dtype="float64") for name, each in layers.items()}


class Watched(Training):
    """Takes the samples of a batch in the order of the data, as the recorder does, and keeps what each step leaves."""

    def step(self, rows: Array) -> None:
        super().step(np.sort(rows))
        network = self.network
        vars(self).setdefault("left", []).append((network.theta.copy(), network.dtheta.copy()))
        self.interrupted = len(self.history.batch_loss) > 20


@pytest.mark.parametrize("name", networks())
@pytest.mark.parametrize("optimizer", [SGD(0.1, 0.9, weight_decay=0.01), Adam(0.01)], ids=["sgd", "adam"])
def test_the_steps_explained_are_those_that_are_taken_without_it_byte_for_byte(name: str, optimizer: Any) -> None:
    network = networks()[name]
    explained = explain_training("iris", network, type(optimizer)(**settings(optimizer)), IRIS, 7, [0, 3, 16, 20])
    other = networks()[name]
    plain: Any = Watched(other, type(optimizer)(**settings(optimizer)), IRIS, 3, 7)
    plain.run()
    assert [step.number for step in explained.steps] == [0, 3, 16, 20]
    assert explained.losses == plain.history.batch_loss[:21]
    np.testing.assert_array_equal(network.theta, plain.left[20][0])
    for number, arrays, _ in explained.steps:
        for index, suffix, prefix in ((0, ".new", ""), (1, "", "d")):
            names = [f"{k}.{prefix}{q}{suffix}" for k, layer in enumerate(network.layers) for q in layer.shapes]
            flat = np.concatenate([arrays[each].ravel() for each in names])
            assert flat.tobytes() == plain.left[number][index].tobytes(), (number, suffix)
        assert float(arrays["loss"]) == plain.history.batch_loss[number]


def settings(optimizer: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(optimizer).items() if name != "state"}


@pytest.mark.parametrize("name", networks())
def test_every_gradient_of_a_right_network_holds(name: str) -> None:
    explained = explain_training("iris", networks()[name], Adam(0.01), IRIS, 6, [0, 5])
    assert explained.wrong() == {}
    errors = [float(step.arrays[each]) for step in explained.steps for each in step.arrays if each.endswith(".error")]
    assert len(errors) >= 6
    assert max(errors) < 1e-12


def test_a_step_can_be_taken_apart_in_the_middle_of_ones_own_loop_which_goes_on_as_before() -> None:
    thetas = []
    for looks in (False, True):
        network, optimizer = networks()["layer norm, dropout"], SGD(0.1, 0.9)
        x, t = IRIS.train.x[:6], IRIS.train.t[:6]
        for _ in range(3):
            network.forward(x, t)
            network.backward()
            if looks:
                found = explain(network, x, t, optimizer).steps[0].arrays
                np.testing.assert_array_equal(found["0.dW"], network.layers[0].dW)
            optimizer.step(network)
            if looks:
                np.testing.assert_array_equal(found["0.W.new"], network.layers[0].W)
        thetas.append(network.theta)
    np.testing.assert_array_equal(thetas[0], thetas[1])


def test_the_way_from_logits_to_y_less_t_is_there_step_by_step() -> None:
    network, optimizer, dataset = tiny()
    (step,) = explain_training("tiny", network, optimizer, dataset, 2, [0]).steps
    found = step.arrays
    np.testing.assert_allclose(found["shifted"], found["2.z"] - found["2.z"].max(axis=1, keepdims=True))
    np.testing.assert_allclose(found["exp"] / found["sum"], found["y"], rtol=1e-14)
    np.testing.assert_allclose(-(found["t"] * found["log_y"]).sum(axis=1, keepdims=True), found["losses"])
    assert (found["weight"] * found["losses"]).sum() == pytest.approx(found["loss"])
    np.testing.assert_allclose(found["product"], found["y-t"], atol=1e-14)
    np.testing.assert_allclose(found["weight"] * found["y-t"], found["2.dz"], rtol=1e-14)
    np.testing.assert_allclose(found["2.dz.exact"], found["2.dz"], rtol=1e-14)
    gradients = np.concatenate([found[f"{k}.d{q}"].ravel() for k in (0, 2) for q in "Wb"])
    assert found["loss_change"] == pytest.approx(-0.1 * gradients @ gradients)
    assert found["loss_after"] == explain_training("tiny", *tiny()[:2], dataset, 2, [0, 1]).losses[1]
    assert found["0.W"].tolist() == [[0.5, -0.5, 1], [0.5, 1, -0.5]]


def test_weighted_samples_and_smoothed_targets_are_shown_as_they_count() -> None:
    network = Network([Linear(4, 3)], SoftmaxCrossEntropy(0.1, [1, 2, 3]), dtype="float64")
    arrays = (
        explain(network, IRIS.train.x[:5], IRIS.train.t[:5], sample_weight=np.array([1.0, 2, 3, 4, 0])).steps[0].arrays
    )
    assert arrays["weight"].sum() == pytest.approx(1)
    assert arrays["weight"][4] == 0
    np.testing.assert_allclose(arrays["t"].min(axis=1), 0.1 / 3)
    np.testing.assert_allclose(arrays["weight"] * arrays["y-t"], arrays["0.dz"], rtol=1e-13)
    assert "loss_after" not in arrays  # no optimizer was given


class HalfReLU(ReLU):
    """Forgets half of the gradient."""

    def backward(self, da: Array) -> Array:
        return super().backward(da) / 2


class AbsoluteValue(Layer):
    """Is right, and takes no complex numbers."""

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.abs(x)

    def backward(self, da: Array) -> Array:
        return da * np.sign(self.x)


def test_a_wrong_layer_is_found_by_the_gradients_below_it() -> None:
    network = Network([Linear(4, 5), HalfReLU(), Linear(5, 3)], dtype="float64")
    wrong = explain(network, IRIS.train.x[:6], IRIS.train.t[:6]).wrong()
    assert wrong == {"0.dW": pytest.approx(0.5), "0.db": pytest.approx(0.5)}


class Flipped(Linear):
    """Climbs, until probabilities are rounded to 0."""

    def backward(self, dz: Array) -> Array | None:
        dx = super().backward(dz)
        self.dW[...] *= -1
        return dx


def test_a_wrong_layer_is_explained_step_by_step_without_a_warning_of_where_it_leads() -> None:
    _, optimizer, dataset = tiny()
    network = Network([Flipped(2, 3), ReLU(), Flipped(3, 3)], dtype="float64")
    explained = explain_training("tiny", network, optimizer, dataset, 2, [0, 100])
    assert {"0.dW", "2.dW"} <= set(explained.wrong())


def test_layers_that_take_no_complex_numbers_and_units_on_their_kink_are_no_mistakes() -> None:
    x, t = IRIS.train.x[:6], IRIS.train.t[:6]
    network = Network([Linear(4, 5), AbsoluteValue(), Linear(5, 3)], dtype="float64")
    assert explain(network, x, t).wrong() == {}
    network = Network([Linear(4, 5), ReLU(), Linear(5, 3)], dtype="float64")
    network.layers[0].W[:, :3] = 0
    found = explain(network, x, t)
    assert (found.steps[0].arrays["0.z"][:, :3] == 0).all()
    assert found.wrong() == {}


def test_the_right_program_is_recorded_beside_one_with_a_mistake_at_the_same_point() -> None:
    network = Network([Linear(4, 5), HalfReLU(), Linear(5, 3)], dtype="float64")
    right = Network([Linear(4, 5), ReLU(), Linear(5, 3)], dtype="float64")
    steps = explain_training("iris", network, SGD(0.1), IRIS, 6, [0, 4], right=right.at).steps
    for _, arrays, beside in steps:
        np.testing.assert_array_equal(arrays["0.W"], beside["0.W"])
        np.testing.assert_array_equal(arrays["2.dW"], beside["2.dW"])
        np.testing.assert_allclose(2 * arrays["0.dW"], beside["0.dW"], rtol=1e-12)


def test_a_training_that_diverges_is_explained_as_far_as_it_got() -> None:
    with np.errstate(all="ignore"):
        explained = explain_training("iris", networks()["plain"], SGD(1e200), IRIS, 6, [0, 1, 50], kind=Training)
    assert [step.number for step in explained.steps] in ([0], [0, 1])
    assert explained.page()


def test_what_is_not_finite_can_be_written_and_read() -> None:
    network, x, t = networks()["no hidden layer"], IRIS.train.x[:3], IRIS.train.t[:3]
    network.theta[...] *= 1e6  # probabilities are rounded to 0, so that −t/y is not finite for a wrong one
    explained = explain(network, x, (t + 1) % 3)
    content = json.loads(json.dumps(explained.content(), allow_nan=False))
    assert "-inf" in json.dumps(content["steps"][0]["arrays"]["dy"])


def test_the_page_holds_all_numbers_and_no_text_that_could_end_the_script(tmp_path: Path) -> None:
    names = ("</script><script>alert(1)</script>", '"quotes" & <b>')
    rng = np.random.default_rng(0)
    dataset = type(IRIS).from_arrays(rng.normal(size=(40, 2)), np.arange(40) % 2, class_names=names, dtype="float64")
    explained = explain_training("<i>title", Network([Linear(2, 2)], dtype="float64"), SGD(0.1), dataset, 4, [0, 2])
    explained.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert names[0] not in page
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    content = json.loads(data)
    assert content == json.loads(json.dumps(explained.content()))
    assert content["class_names"] == list(names)
    assert content["steps"][1]["arrays"]["0.W"] == explained.steps[1].arrays["0.W"].tolist()
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    assert not {"/*STYLE*/", "/*SCRIPT*/", "/*DATA*/"} & set(re.findall(r"/\*[A-Z]+\*/", page))
    assert "<iframe" in explained._repr_html_()
    assert "&lt;i&gt;" not in repr(explained)
    assert os_files(tmp_path) == ["page.html"]


def os_files(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_page_that_would_be_too_large_is_refused_and_not_written(tmp_path: Path) -> None:
    explained = explain_training("iris", networks()["plain"], SGD(0.1), IRIS, 4, [0])
    explained.steps[0].arrays["0.W"] = np.full((500, 500), np.pi)
    with pytest.raises(ValueError, match=r"at most 3 MiB, got \d+\.\d: explain fewer steps"):
        explained.save(tmp_path / "page.html")
    assert os_files(tmp_path) == []
    with pytest.raises(ValueError, match="got 160,400 parameters in 1 step: explain fewer steps"):
        explain(Network([Linear(400, 400)]), np.ones((1, 400)), np.array([0]))


def test_stacks_and_unknown_names_are_refused_with_what_to_do() -> None:
    stack = Network([Linear(4, 3)], seed=range(2), dtype="float64")
    with pytest.raises(TypeError, match=r"take one of it, network\[0\]"):
        explain(stack, IRIS.train.x[:6], IRIS.train.t[:6])
    explained = explain(stack[0], IRIS.train.x[:6], IRIS.train.t[:6])
    with pytest.raises(ValueError, match="got 'dv'; there are dz"):
        explained.hide(["dv"])
    explained.hide(["dz", "0.dW"])
    assert explained.content()["hidden"] == ["0.dz", "0.dW"]


class Anew(Layer):
    """It draws what no one can draw again."""

    def forward(self, x: Array) -> Any:
        self.mask = np.random.default_rng().random(x.shape) > 0.3
        return x * self.mask

    def backward(self, da: Array) -> Any:
        return da * self.mask


class Nothing(Layer):
    def forward(self, x: Array) -> Any:
        return x * np.nan

    def backward(self, da: Array) -> Any:
        return da


class Wild(Linear):
    def __repr__(self) -> str:
        return "\x1b[31mred\n\u202e" + "x" * 10_000

    def forward(self, x: Array) -> Any:
        self.wide = np.ones(2, np.longdouble)
        return super().forward(x)

    def backward(self, dz: Array) -> Any:
        return super().backward(dz)

    forward.__doc__, backward.__doc__ = 7, "\x1b]0;title\x07 of the window."  # type: ignore[assignment]


@pytest.mark.parametrize("layer", [Anew, Nothing])
def test_what_cannot_be_compared_is_neither_right_nor_wrong(layer: Any) -> None:
    explained = explain(
        Network([Linear(4, 5), layer(), Linear(5, 3)], dtype="float64"), IRIS.train.x[:3], IRIS.train.t[:3]
    )
    assert (explained.wrong(), explained.lost()) == ({}, [0])
    assert verdict(explained)[0].startswith("nothing to compare: the loss of step 0")
    assert "nothing to compare" in "\n".join(walk(explained))


def test_a_gradient_that_is_not_finite_is_wrong_if_the_loss_is_finite() -> None:
    class NotFinite(Linear):
        def backward(self, dz: Array) -> Any:
            dx = super().backward(dz)
            self.dW[...] = np.nan
            return dx

    explained = explain(Network([NotFinite(4, 3)], dtype="float64"), IRIS.train.x[:3], IRIS.train.t[:3])
    assert explained.wrong() == {"0.dW": np.inf}


def test_what_a_layer_says_of_itself_is_brought_to_a_line_that_can_be_printed() -> None:
    explained = explain(Network([Wild(4, 3)], dtype="float64"), IRIS.train.x[:3], IRIS.train.t[:3])
    (layer,) = explained.layers
    assert layer["name"].startswith("[31mred xxx")
    assert (len(layer["name"]), layer["forward"]) == (200, "7")
    assert layer["backward"] == "]0;title of the window."
    assert explained.content()["steps"][0]["arrays"]["0.wide"] == [1.0, 1.0]
    explained.title = "a\x1b[2Jb"
    assert all(line.isprintable() for line in walk(explained))


def test_an_optimizer_that_is_none_and_a_single_name_to_hide() -> None:
    network, x, t = networks()["plain"], IRIS.train.x[:3], IRIS.train.t[:3]
    for wrong in (SGD, "sgd"):
        with pytest.raises(TypeError, match="explain optimizer: expected one such as SGD"):
            explain(network, x, t, wrong)  # type: ignore[arg-type]
    explained = explain(network, x, t)
    explained.hide("dz")
    assert explained.about["hidden"] == ["2.dz", "0.dz"]


def test_a_name_that_utf_8_cannot_hold_is_written_all_the_same(tmp_path: Path) -> None:
    explained = explain(networks()["plain"], IRIS.train.x[:3], IRIS.train.t[:3])
    explained.title = "\udcff.csv"  # as Python reads a file's name that is no UTF-8
    explained.save(tmp_path / "page.html")
    data = re.findall('id="data">(.*?)</script>', (tmp_path / "page.html").read_text(encoding="utf-8"))
    assert json.loads(data[0])["title"] == explained.title
