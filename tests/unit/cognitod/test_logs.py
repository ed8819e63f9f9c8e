from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from linnix.cognitod import logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _root_logger_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_text_is_one_readable_line() -> None:
    out = io.StringIO()
    logs.set_up("text", "info", out)
    logging.getLogger("x").info("listening on %s", "127.0.0.1")
    logging.getLogger("x").debug("not shown")

    assert out.getvalue()[8:] == " info listening on 127.0.0.1\n"


def test_a_hostile_name_cannot_forge_a_line_or_colour_a_terminal() -> None:
    out = io.StringIO()
    logs.set_up("text", "info", out)
    logging.getLogger("x").info("pid 7 is %s", "a\n12:00:00 error forged\x1b[31m\u202e")

    assert out.getvalue().count("\n") == 1
    assert out.getvalue().rstrip("\n").isprintable()


@pytest.mark.parametrize(
    ("stream", "environ", "coloured"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colours_are_for_terminals_that_want_them(stream: io.StringIO, environ: dict[str, str], coloured: bool) -> None:
    logs.set_up("text", "info", stream, environ)
    logging.getLogger("x").warning("w")

    assert ("\x1b[33m" in stream.getvalue()) is coloured


def test_json_is_one_object_a_line_with_the_traceback_inside() -> None:
    out = io.StringIO()
    logs.set_up("json", "warning", out)
    try:
        raise ValueError("no")
    except ValueError:
        logging.getLogger("linnix.x").exception("failed\nbadly")

    told = json.loads(out.getvalue())
    assert out.getvalue().count("\n") == 1
    assert (told["level"], told["logger"], told["message"]) == ("error", "linnix.x", "failed\nbadly")
    assert "ValueError: no" in told["traceback"]
