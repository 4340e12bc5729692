"""Output in encodings that lack the symbols which programs print, and in pipes that FORCE_COLOR calls a terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from minires import terminal
from minires.terminal import accept_all_characters, plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3×3 convolution, 1.8 ×10⁹", "3x3 convolution, 1.8 x10^9"),
        ("‖∂L/∂W‖ ≤ 2⁻³ → √σ²", "|dL/dW| <= 2^-^3 -> sqrtsigma^2"),
        ("café… naïve ½", "cafe... naive 1?2"),  # NFKD: 1, a fraction slash, 2
        ("狗 \udcff", "? ?"),
        ("plain text\n", "plain text\n"),
    ],
)
def test_plain_text(text, expected):
    assert plain(text) == expected


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("ascii", b"3x3 -> cafe\n"),
        ("latin-1", b"3\xd73 -> caf\xe9\n"),
        ("cp1252", b"3\xd73 -> caf\xe9\n"),
        ("utf-8", "3×3 → café\n".encode()),
    ],
)
def test_a_stream_keeps_the_characters_that_it_has(encoding, expected):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    accept_all_characters(stream)
    stream.write("3×3 → café\n")
    stream.flush()
    assert raw.getvalue() == expected


def test_streams_that_replace_characters_already_and_other_objects_stay_as_they_are():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="backslashreplace")
    accept_all_characters(stream)
    assert stream.errors == "backslashreplace"
    accept_all_characters(io.StringIO())
    accept_all_characters(None)
    assert not terminal.is_interactive(None)
    assert not terminal.is_interactive(io.StringIO())


COMMANDS = {
    "help": ["--help"],
    "summary": ["summary", "resnet8"],
    "lab": ["lab", "show", "col2im-overwrites-overlaps"],
    "gradcheck": ["gradcheck", "--op", "relu"],
    "info": ["info"],
}


@pytest.mark.slow  # a process for each command and encoding: half a second each
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_every_command_prints_in_every_encoding_and_moves_no_cursor_in_a_pipe(command, encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "FORCE_COLOR": "1", "TTY_INTERACTIVE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "minires", *command], capture_output=True, env=environment, cwd=os.getcwd()
    )
    assert (done.returncode, done.stderr) == (0, b"")
    text = done.stdout.decode(encoding)
    assert text
    for movement in ("\x1b[?25", "\x1b[1A", "\x1b[2K", "\r\x1b"):
        assert movement not in text


def test_a_reader_that_leaves_raises_broken_pipe_error(monkeypatch):
    """rich would end the program."""

    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def flush(self):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Closed())
    with pytest.raises(BrokenPipeError):
        terminal.console().print("text")
