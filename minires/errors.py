"""The errors MiniRes raises on purpose.

An error is part of the interface: it says what was wrong, where, and what to do. Whoever embeds MiniRes can
catch `MiniResError`; the command line turns it into one line and exit code 2. Each class is also the built-in
that Python programmers expect (`ShapeError` is a `ValueError`), so ordinary `except` clauses work.
"""


class MiniResError(Exception):
    """Base of every error that the user can act on."""


class ShapeError(MiniResError, ValueError):
    """Array shapes that do not fit; the message names the op and every shape."""


class DtypeError(MiniResError, TypeError):
    """A dtype the operation cannot work with."""


class DeviceError(MiniResError, RuntimeError):
    """Arrays on different devices, or a device that cannot be used."""


class OutOfMemoryError(DeviceError, MemoryError):
    """A GPU's memory does not hold what was asked for."""


class GraphError(MiniResError, RuntimeError):
    """A backward pass that cannot be done: freed graph, changed array, no graph at all."""


class NonFiniteError(MiniResError, ArithmeticError):
    """A NaN or an infinity where the user asked to be told of it."""


class DataError(MiniResError, ValueError):
    """A data set or image that is missing, corrupt or malformed."""


class WeightsError(MiniResError, ValueError):
    """A weight file that is missing, corrupt, hostile or of another model."""


class GradcheckError(MiniResError, AssertionError):
    """A gradient check that did not pass; `report` says why."""

    def __init__(self, message: str, report: object = None) -> None:
        super().__init__(message)
        self.report = report
