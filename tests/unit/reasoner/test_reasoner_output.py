"""What is written where: colours, wrapping, files and full disks."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linnix.insight import rules_text
from linnix.reasoner import report
from linnix.reasoner.errors import ReasonerError
from linnix.reasoner.output import Output, Paragraph, fit, width_of
from linnix.reasoner.telling import INSTEAD, MODELS, READING, STANDS, Telling
from support.far_end import MB, SPINNING, host, process, system


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "TERM", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)


def test_colours_only_where_a_terminal_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Output(stream=Terminal()).styled("x", "red") == "\x1b[31mx\x1b[0m"
    assert Output(stream=io.StringIO()).styled("x", "red") == "x"
    assert Output(stream=Terminal(), colour=False).styled("x", "red") == "x"
    monkeypatch.setenv("NO_COLOR", "1")
    assert Output(stream=Terminal()).styled("x", "red") == "x"


def test_the_file_gets_the_text_without_colours(tmp_path: Path) -> None:
    terminal, file = Terminal(), tmp_path / "analysis.txt"
    output = Output(stream=terminal, file=file)
    output.line("LLM Analysis:", "bold")
    output.close()
    assert (terminal.getvalue(), file.read_text()) == ("\x1b[1mLLM Analysis:\x1b[0m\n", "LLM Analysis:\n")


def test_a_full_disk_is_an_error_that_names_the_file() -> None:
    output = Output(stream=io.StringIO(), file=Path("/dev/full"))
    with pytest.raises(ReasonerError, match="--output /dev/full: no space left on device"):
        output.line("x")
    with pytest.raises(ReasonerError, match="no space left"):
        output.close()


def test_a_file_that_cannot_be_opened_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ReasonerError, match="no such file or directory"):
        Output(stream=io.StringIO(), file=tmp_path / "missing" / "x")


def test_a_locale_without_unicode_gets_question_marks() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    Output(stream=stream).line("né")
    assert raw.getvalue() == b"n?\n"


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=30), min_size=1, max_size=60))
def test_a_paragraph_keeps_every_word_and_no_line_is_wider_than_the_page(words: list[str]) -> None:
    stream = io.StringIO()
    paragraph = Paragraph(Output(stream=stream))
    for start in range(0, len(words), 7):
        paragraph.add(" ".join(words[start : start + 7]))
    paragraph.end()
    lines = stream.getvalue().splitlines()
    assert " ".join(lines).split() == words
    assert max(map(width_of, lines)) <= 80


@given(st.text(), st.integers(1, 20))
def test_a_column_is_exactly_as_wide_as_it_is(text: str, columns: int) -> None:
    assert width_of(fit(text, columns)) == columns


def test_the_tables_hold_what_is_above_a_tenth_of_a_percent_or_a_megabyte_at_most_ten() -> None:
    many = [process(n, f"w{n}", cpu_pct=n / 10, rss_bytes=n * MB) for n in range(1, 14)]
    facts = host(*many, process(20, "tiny", cpu_pct=0.1, rss_bytes=MB))
    assert [p.comm for p in report.top_cpu(facts)] == [f"w{n}" for n in range(13, 3, -1)]
    assert [p.comm for p in report.top_memory(facts)] == [f"w{n}" for n in range(13, 3, -1)]
    few = host(process(1, "edge", cpu_pct=0.1, rss_bytes=MB))
    assert (report.top_cpu(few), report.top_memory(few)) == ([], [])


def test_the_snapshot_tells_where_the_host_stalled() -> None:
    assert report.stalls({"psi_cpu_some_avg10": 12.34, "psi_io_some_avg10": 40.0, "psi_memory_some_avg10": 0.01}) == [
        "40.0 % of the last 10 s waiting on io",
        "12.3 % of the last 10 s waiting on cpu",
    ]


def shown(facts: object) -> str:
    stream = io.StringIO()
    output = Output(stream=stream)
    report.snapshot(output, system(facts), facts)  # type: ignore[arg-type]
    report.tables(output, facts)  # type: ignore[arg-type]
    return stream.getvalue()


def test_a_hostile_name_stays_in_its_column() -> None:
    text = shown(host(process(1, "\x1b[2J\n\u202eevil", cpu_pct=50.0)))
    assert "␛[2J␊\\u202eevil" in text
    assert "\x1b" not in text


def test_a_kernel_without_pressure_is_not_called_calm() -> None:
    assert "unknown: this kernel measures no pressure" in shown(host(psi_cpu=None))
    assert "nobody had to wait" in shown(host(psi_cpu=0.0))


def test_what_the_daemon_cannot_see_is_said() -> None:
    assert "Blind spot no BTF" in shown(host(degraded=("no BTF",)))


RULES = rules_text.explain(SPINNING)
RULES_TEXT = " ".join(sentence.text for sentence in RULES.sentences)


@contextmanager
def telling_to(stream: io.StringIO, file: Path) -> Iterator[Telling]:
    with closing(Output(stream=stream, file=file, colour=False)) as output:
        yield Telling(output)


def words(text: str) -> str:
    return " ".join(text.split())


def test_on_a_pipe_both_texts_stay_and_are_marked(tmp_path: Path) -> None:
    stream, file = io.StringIO(), tmp_path / "x"
    with telling_to(stream, file) as telling:
        telling.meanwhile(RULES)
        telling.sentence("All is calm.")
        telling.from_model("tiny", 2.0)
    assert words(stream.getvalue()) == f"{READING} {RULES_TEXT} {MODELS} All is calm. source: tiny (model), 2.0 s"
    assert file.read_text() == "All is calm.\nsource: tiny (model), 2.0 s\n"


def test_on_a_terminal_the_models_text_takes_the_place_of_the_rules(tmp_path: Path) -> None:
    stream, file = Terminal(), tmp_path / "x"
    with telling_to(stream, file) as telling:
        telling.meanwhile(RULES)
        lines = stream.getvalue().count("\n")
        telling.sentence("All is calm.")
        telling.from_model("tiny", 2.0)
    erased, after = stream.getvalue().split(f"\x1b[{lines}A\r\x1b[J")
    assert words(erased) == f"{READING} {RULES_TEXT}"
    assert after == "All is calm.\nsource: tiny (model), 2.0 s\n"


def test_a_model_that_gives_up_early_leaves_the_rules_standing(tmp_path: Path) -> None:
    stream, file = io.StringIO(), tmp_path / "x"
    with telling_to(stream, file) as telling:
        telling.meanwhile(RULES)
        telling.from_rules(RULES, "too slow")
    assert words(stream.getvalue()) == f"{READING} {RULES_TEXT} {STANDS} source: rules (too slow)"
    assert words(file.read_text()) == f"{RULES_TEXT} source: rules (too slow)"


def test_a_model_that_gives_up_in_the_middle_is_followed_by_the_rules(tmp_path: Path) -> None:
    stream, file = io.StringIO(), tmp_path / "x"
    with telling_to(stream, file) as telling:
        telling.sentence("All is")
        telling.from_rules(RULES, "it died")
    assert words(stream.getvalue()) == f"All is {INSTEAD} {RULES_TEXT} source: rules (it died)"
    assert words(file.read_text()) == words(stream.getvalue())


def test_a_single_sentence_is_a_single_line_on_a_pipe_and_wrapped_on_a_terminal() -> None:
    long = " ".join(["word"] * 40) + "."
    for stream, lines in ((io.StringIO(), 1), (Terminal(), 3)):
        telling = Telling(Output(stream=stream, colour=False), one_line=True)
        telling.sentence(long)
        telling.from_model("tiny", 0.1)
        assert len(stream.getvalue().splitlines()) == lines + 1
