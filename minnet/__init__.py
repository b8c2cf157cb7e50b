"""minnet: a neural-net trainer written from scratch in NumPy. A network is a function of one flat vector."""

from minnet.data import Dataset
from minnet.data.named import load_dataset
from minnet.gradient_check import check_gradients
from minnet.history import History
from minnet.lab.explain import explain
from minnet.lab.trace import trace
from minnet.layers import BatchNorm, Dropout, LayerNorm, LeakyReLU, Linear, ReLU, Sigmoid, Tanh
from minnet.network import Network
from minnet.optimizers import SGD, Adam
from minnet.output import SoftmaxCrossEntropy
from minnet.runs.model import Model, load, save
from minnet.schedules import CosineDecay, ReduceOnPlateau, StepDecay
from minnet.training import evaluate, train

__version__ = "0.2.0"

__all__ = [
    "SGD", "Adam", "BatchNorm", "CosineDecay", "Dataset", "Dropout", "History", "LayerNorm", "LeakyReLU", "Linear",
    "Model", "Network", "ReLU", "ReduceOnPlateau", "Sigmoid", "SoftmaxCrossEntropy", "StepDecay", "Tanh",
    "check_gradients", "evaluate", "explain", "load", "load_dataset", "save", "trace", "train",
]  # fmt: skip
