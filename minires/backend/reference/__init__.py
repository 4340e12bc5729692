"""The reference kernels: a few lines each, on NumPy or CuPy arrays of any floating-point dtype."""
