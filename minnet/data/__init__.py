"""Where do samples come from, and how do tables become numbers?"""

from minnet.data.dataset import Dataset, Part
from minnet.data.named import load_dataset
from minnet.data.preprocessing import Preprocessing, Standardization

__all__ = ["Dataset", "Part", "Preprocessing", "Standardization", "load_dataset"]
