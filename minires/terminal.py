"""Text for terminals, pipes and files of any encoding: no output fails because the encoding lacks a character.

Programs print symbols such as × and ∂. Where standard output is ASCII, Latin-1 or a Windows code page, each symbol that
is missing there is replaced by plain letters.
"""

from __future__ import annotations

import codecs
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# Symbols whose compatibility decomposition (Unicode's NFKD) is not plain text. A superscript keeps its meaning: 10^9.
_PAIRS = (
    "×=x ·=* ∗=* −=- –=- —=- ±=+- √=sqrt ∞=inf ∂=d ≤=<= ≥=>= ≠=!= ≈=~ →=-> ←=<- ‖=| ′=' ⟨=< ⟩=> ✓=ok ✗=x ─=- │=| "
    "⌊=floor( ⌋=) ⌈=ceil( ⌉=) ⁰=^0 ¹=^1 ²=^2 ³=^3 ⁴=^4 ⁵=^5 ⁶=^6 ⁷=^7 ⁸=^8 ⁹=^9 ⁻=^- "
    "α=alpha β=beta γ=gamma ε=eps η=eta θ=theta λ=lambda μ=mu σ=sigma φ=phi Σ=sum"
)
_PLAIN = dict(pair.split("=", 1) for pair in _PAIRS.split())


def plain(text: str) -> str:
    """`text` in ASCII: accents go, symbols become letters, and ? stands for everything else."""
    decomposed = (_PLAIN.get(c) or unicodedata.normalize("NFKD", c) for c in text)
    kept = ("".join(c for c in each if not unicodedata.combining(c)) for each in decomposed)
    return "".join(c if c.isascii() else "?" for each in kept for c in each)


def _replace(error: UnicodeError) -> tuple[str, int]:
    """The error handler of a stream: its plain form for the text that cannot be encoded."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return plain(error.object[error.start : error.end]), error.end


codecs.register_error("minires.plain", _replace)


def accept_all_characters(stream: Any) -> None:
    """Let a text stream write characters that its encoding lacks, in plain form. Other objects stay as they are."""
    if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="minires.plain")


def is_interactive(stream: Any) -> bool:
    """Whether a stream is a terminal, in which the cursor can be moved. The environment (FORCE_COLOR) has no say."""
    isatty = getattr(stream, "isatty", None)
    return bool(isatty and isatty())


def is_notebook() -> bool:
    """Whether this program is the kernel of a notebook (Jupyter, Colab), which shows HTML and can change it."""
    ipython = sys.modules.get("IPython")  # a kernel has imported it
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None


def console(*, stderr: bool = False, moves_cursor: bool = False, **options: Any) -> Console:
    """rich's console on standard output or error, for any encoding.

    With `moves_cursor` (for progress bars) it is a plain one off a terminal, whatever the environment says.
    """
    from rich.console import Console

    class RaisingConsole(Console):
        """Raises BrokenPipeError where rich would end the program with exit code 1, also in the middle of a run."""

        def on_broken_pipe(self) -> None:
            raise  # the error that is being handled

    stream = sys.stderr if stderr else sys.stdout
    accept_all_characters(stream)
    if moves_cursor and not is_interactive(stream):
        options["force_terminal"] = False
    return RaisingConsole(stderr=stderr, **options)
