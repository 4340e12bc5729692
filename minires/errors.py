"""The errors that MiniRes raises on purpose.

An error is part of the interface: its message says what was wrong, where, and what to do. A program can catch
`MiniResError`; the command line turns it into one line and exit code 2. Each class also derives from the built-in that
Python programmers expect (`ShapeError` is a `ValueError`), so ordinary `except` clauses work.
"""


class MiniResError(Exception):
    """Base class of every error that the user can act on."""


class ShapeError(MiniResError, ValueError):
    """Array shapes do not fit together; the message names the op and every shape."""


class DtypeError(MiniResError, TypeError):
    """An operation does not support a dtype, or was given something that does not consist of numbers."""


class DeviceError(MiniResError, RuntimeError):
    """Arrays are on different devices, or a device cannot be used."""


class OutOfMemoryError(DeviceError, MemoryError):
    """A GPU has not enough free memory for an array."""


class GraphError(MiniResError, RuntimeError):
    """A backward pass is impossible: there is no graph, it was freed, or an array that it needs has changed."""


class NonFiniteError(MiniResError, ArithmeticError):
    """A NaN or an infinity has appeared where the user asked to be told."""


class DistributedError(MiniResError, RuntimeError):
    """The processes of a distributed run do not fit each other, or one of them has failed or does not answer."""


class DataError(MiniResError, ValueError):
    """A data set or an image is missing, corrupt or malformed."""


class WeightsError(MiniResError, ValueError):
    """A weight file is missing, corrupt, hostile or of another model."""


class ModelError(MiniResError, ValueError):
    """The options in a network's name are unknown, or do not go together."""


class MissingLibraryError(MiniResError, ImportError):
    """An optional library is not installed; the message names the extra that brings it."""


class GradcheckError(MiniResError, AssertionError):
    """A gradient check has not passed; `report` says why."""

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report
