"""The pages say what the command says."""

from __future__ import annotations

import re
from pathlib import Path

from linnix.insight.asking import question, session
from linnix.reasoner import analysis, cli, live, telling
from linnix.reasoner.errors import Exit

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reasoner.md").read_text()
TROUBLE = " ".join((ROOT / "docs" / "troubleshooting.md").read_text().split())


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `?([^`| ]+)[^|]*\|", text, re.MULTILINE)[1:]


def options() -> list[str]:
    return re.findall(r"^  (?:-h, )?(--[a-z-]+)", cli.parser().format_help(), re.MULTILINE)


def test_every_option_is_on_the_page() -> None:
    assert sorted(first_cells(section("Options"))) == sorted(options())


def test_every_variable_is_on_the_page() -> None:
    assert first_cells(section("Environment")) == list(cli.ENVIRONMENT)


def test_every_exit_code_is_on_the_page_and_in_the_help() -> None:
    assert first_cells(section("Exit codes")) == [str(int(code)) for code in Exit]
    assert list(cli.EXIT_CODES) == list(Exit)


def test_the_page_quotes_the_marks_and_the_limits() -> None:
    page = " ".join(PAGE.split())
    for quoted in (
        telling.READING,
        telling.MODELS,
        f"up to {analysis.PATIENCE_S} s",
        f"by default `{question.DEFAULT_MODEL}`",
    ):
        assert quoted in page
    assert f"CPU at {analysis.BUSY_CPU_PCT:.0f} % or more" in page
    assert f"waiting on CPU for {analysis.BUSY_PSI_PCT:.0f} % of the time" in page


def test_troubleshooting_answers_the_guides_messages() -> None:
    for message in (
        "cannot open model file",
        "no usable GPU found",
        "Failed to fetch /system",
        "LLAMA_CTX=2048",
        "LLAMA_THREADS=4",
    ):
        assert message in TROUBLE


def phrases() -> list[str]:
    """What the modules that talk to a model can say, by the words before the first figure or name."""
    sources = [Path(module.__file__ or "").read_text() for module in (question, session, live)]
    found = re.findall(r'FarEndError\(\s*f?"([^"{]{12,})', "\n".join(sources))
    return [phrase.strip(" (:") for phrase in found]


def test_troubleshooting_answers_every_trouble_with_a_model() -> None:
    said = phrases()
    assert len(said) > 6
    missing = [phrase for phrase in said if phrase.partition(";")[0] not in TROUBLE]
    assert missing == []
