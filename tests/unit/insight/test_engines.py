"""What is known of a model server's grammars, and by whom it is believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linnix.insight.asking import engines
from linnix.insight.asking.transport import parse_url

HERE = parse_url("http://localhost:8090/v1", "")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINNIX_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(engines, "_SYSTEM", tmp_path / "system")
    return tmp_path / "run"


def test_lark_is_sent_where_it_was_found_to_be_obeyed_while_the_server_runs() -> None:
    assert engines.best(HERE) == "gbnf"
    engines.note(8090, os.getpid(), ("GBNF", "Lark"))
    assert engines.best(HERE) == "lark"
    engines.forget(8090)
    assert engines.best(HERE) == "gbnf"


@pytest.mark.parametrize("grammars", [(), ("GBNF",)])
def test_what_was_not_found_is_not_sent(grammars: tuple[str, ...]) -> None:
    engines.note(8090, os.getpid(), grammars)
    assert engines.best(HERE) == "gbnf"


def test_another_port_or_another_host_is_another_server() -> None:
    engines.note(8090, os.getpid(), ("Lark",))
    assert engines.best(parse_url("http://localhost:8091/v1", "")) == "gbnf"
    assert engines.best(parse_url("http://10.1.1.1:8090/v1", "")) == "gbnf"


def test_a_server_that_is_gone_and_a_broken_file_are_not_believed(folder: Path) -> None:
    engines.note(8090, 2**22 + 1, ("Lark",))
    assert engines.best(HERE) == "gbnf"
    (folder / "model-8090.json").write_text("{")
    assert engines.best(HERE) == "gbnf"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_a_file_of_somebody_else_is_not_believed(folder: Path) -> None:
    engines.note(8090, os.getpid(), ("Lark",))
    os.chown(folder / "model-8090.json", 12345, 12345)
    assert engines.best(HERE) == "gbnf"


def test_where_it_cannot_be_noted_nothing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LINNIX_RUNTIME_DIR", str(tmp_path / "file" / "below"))
    engines.note(8090, os.getpid(), ("Lark",))
    engines.forget(8090)
    assert engines.best(HERE) == "gbnf"
