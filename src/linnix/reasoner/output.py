"""Where text goes: the terminal or pipe, and the file of ``--output``.

Owns colour, wrapping, what a tty may have replaced in place, and the failure of either sink. Refuses content: callers
hand in cleaned text. Invariant: the file never holds an escape sequence, nor text that was provisional and replaced;
a sink that cannot be written makes the command fail, and a reader that went away ends it quietly.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import unicodedata
from pathlib import Path
from typing import TextIO

from linnix.reasoner.errors import ReasonerError

PIPE_WIDTH = 80
MAX_WIDTH = 100

STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def width_of(text: str) -> int:
    """Columns that ``text`` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def fit(text: str, columns: int) -> str:
    """``text`` cut or padded to exactly ``columns``."""
    if width_of(text) > columns:
        while width_of(text) > columns - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (columns - width_of(text))


class Output:
    """The two sinks. ``colour`` as asked for: NO_COLOR, a dumb terminal and a pipe switch it off by themselves."""

    def __init__(self, *, colour: bool = True, file: Path | None = None, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        terminal = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self.replaces = terminal
        self.colour = colour and terminal and not os.environ.get("NO_COLOR")
        self.width = min(shutil.get_terminal_size((PIPE_WIDTH, 24)).columns, MAX_WIDTH) if terminal else PIPE_WIDTH
        self._path = file
        self._file: TextIO | None = None
        if file is not None:
            try:
                self._file = file.open("w", encoding="utf-8", newline="\n")
            except OSError as error:
                raise self._unwritable(error) from None

    def styled(self, text: str, style: str | None) -> str:
        """``text`` in a style of ``STYLES``, where colours are on."""
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.colour and style else text

    def line(self, text: str = "", style: str | None = None) -> None:
        """One line to both sinks."""
        self.write(text + "\n", style)

    def write(self, text: str, style: str | None = None, *, to_file: bool = True) -> None:
        """Text as it is to the stream and, unless it is provisional, to the file. The stream is flushed."""
        if text.endswith("\n"):
            shown = self.styled(text[:-1], style) + "\n" if text != "\n" else text
        else:
            shown = self.styled(text, style)
        self.to_stream(shown)
        if to_file:
            self.to_file(text)

    def to_stream(self, text: str) -> None:
        """Only what the reader at the terminal or pipe sees; escape sequences are the caller's own."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            raise
        except UnicodeEncodeError:  # a locale without UTF-8: better a question mark than nothing
            encoding = self._stream.encoding or "ascii"
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
        except OSError as error:
            raise ReasonerError(f"Cannot write to standard output: {_words(error)}") from None

    def to_file(self, text: str) -> None:
        """Only the file, if there is one. Flushed, so that a full disk is noticed and an interrupt loses nothing."""
        if self._file is None:
            return
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            raise self._unwritable(error) from None

    def close(self) -> None:
        """Close the file. Raises ``ReasonerError`` if the last bytes do not fit any more."""
        file, self._file = self._file, None
        if file is None:
            return
        try:
            file.close()
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> ReasonerError:
        return ReasonerError(f"--output {self._path}: {_words(error)}")


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


class Paragraph:
    """Sentences that flow, wrapped at words, each shown as soon as it is there.

    A provisional one stays out of the file, and can be taken back where the stream is a terminal. ``one_line`` leaves
    the wrapping out for programs that read line by line; a terminal wraps in any case, so there it is done by word.
    """

    def __init__(
        self, output: Output, *, provisional: bool = False, style: str | None = None, one_line: bool = False
    ) -> None:
        self._output = output
        self._width = math.inf if one_line and not output.replaces else output.width
        self._provisional = provisional
        self._style = style
        self._column = 0
        self._lines = 0

    def add(self, sentence: str) -> None:
        """Append one sentence and show it."""
        pieces: list[str] = []
        for word in sentence.split():
            columns = width_of(word)
            if self._column and self._column + 1 + columns > self._width:
                pieces.append("\n")
                self._column = 0
                self._lines += 1
            elif self._column:
                pieces.append(" ")
                self._column += 1
            pieces.append(word)
            self._column += columns
        text = "".join(pieces)
        self._output.to_stream(self._output.styled(text, self._style))
        if not self._provisional:
            self._output.to_file(text)

    def end(self) -> None:
        """Finish the last line."""
        if self._column:
            self._output.write("\n", to_file=not self._provisional)
            self._lines += 1
            self._column = 0

    def erase(self, more_lines: int = 0) -> None:
        """Take it back, and ``more_lines`` above it. Only for a terminal, and after ``end``."""
        self._output.to_stream(f"\x1b[{self._lines + more_lines}A\r\x1b[J")
        self._lines = 0
