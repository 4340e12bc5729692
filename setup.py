"""The build's one imperative part; everything declarative stands in pyproject.toml.

It exists because the C kernels of `kernels/cpu/` will be an optional extension: compiled where a C compiler is
found, left out with a warning where none is, and `optional` cannot depend on the machine in a table of settings.
Until they come there is nothing to add.
"""

from setuptools import setup

setup()
