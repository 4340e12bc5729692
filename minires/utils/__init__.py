"""`minires.utils.data`: data sets and batches of Tensors, under the names of torch.utils.data."""

from minires.utils import data

__all__ = ["data"]
