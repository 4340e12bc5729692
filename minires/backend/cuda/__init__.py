"""The CUDA provider (in the making)."""
