"""minnet: a neural-net trainer written from scratch in NumPy. A network is a function of one flat vector."""

from minnet.data import Dataset, load_dataset
from minnet.gradient_check import check_gradients
from minnet.layers import Linear, ReLU, Sigmoid, Tanh
from minnet.network import Network
from minnet.optimizers import SGD
from minnet.output import SoftmaxCrossEntropy
from minnet.runs import Model, load, save
from minnet.training import History, evaluate, train

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "Dataset",
    "History",
    "Linear",
    "Model",
    "Network",
    "ReLU",
    "Sigmoid",
    "SoftmaxCrossEntropy",
    "Tanh",
    "check_gradients",
    "evaluate",
    "load",
    "load_dataset",
    "save",
    "train",
]
