"""The first run on a GPU: everything worth knowing, in eight minutes, with whatever Python has CuPy.

    python3 -m benchmarks.on_gpu.first_run --out DIR

It needs CuPy and pytest, uses PyTorch where it is installed, and no network. Each step is a process of its own, which
is killed at its limit; what it had found until then is kept. `DIR/report.md` is written anew after each step.
"""
