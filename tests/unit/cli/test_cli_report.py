"""What `linnix up` says: lines for a person on standard error, objects for a program on standard output."""

import json

import pytest

from linnix.cli._report import Report


def test_for_a_program_every_line_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(as_json=True)
    report.say("ready", "cognitod is ready", "good", service="cognitod")
    report.waiting("waiting for model server")
    report.heard("cognitod", "listening")
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [(line["event"], line["service"]) for line in told] == [("ready", "cognitod"), ("log", "cognitod")]


def test_for_a_person_standard_output_stays_empty(capsys: pytest.CaptureFixture[str]) -> None:
    Report(as_json=False).say("ready", "cognitod is ready", "good")

    assert capsys.readouterr() == ("", "cognitod is ready\n")


def test_in_a_log_a_wait_is_one_line_and_not_a_line_a_poll(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(as_json=False)
    for tenths in range(10):
        report.waiting(f"waiting for cognitod · 0.{tenths} s")

    assert capsys.readouterr().err == "… waiting for cognitod · 0.0 s\n"


def test_what_a_child_wrote_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    Report(as_json=False).heard("cognitod", "exec of \x1b[2Jevil\u202e")

    assert not {"\x1b", "\u202e"} & set(capsys.readouterr().err)
