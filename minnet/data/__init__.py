"""Where do samples come from, and how do tables become numbers?"""

from minnet.data.dataset import Dataset, Part, Standardization
from minnet.data.named import load_dataset

__all__ = ["Dataset", "Part", "Standardization", "load_dataset"]
