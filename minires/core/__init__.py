"""The engine: Tensor, Function, and the backward pass that differentiates the graph between them.

Read `tensor.py`, `function.py` and `autograd.py`, in this order; the other files hold the details that these three
leave out. Nothing here knows a particular operation.
"""
