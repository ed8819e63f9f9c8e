"""Rules under a daemon that runs: loaded anew when files change or somebody asks, and kept when those are wrong."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from linnix.cognitod.config import Config, Rules
from linnix.cognitod.detect.rules import Rule, RuleError, Sources
from linnix.cognitod.metrics.rules import RulesCollector
from linnix.cognitod.rulebook import DEFAULT_DIRECTORY, Rulebook, follow, sources

GOOD = "- {name: storm, detector: fork_burst, threshold: 30, window_seconds: 5}\n"
BETTER = GOOD + "- {name: hog, detector: cpu_pct, threshold: 80, duration: 5}\n"
WRONG = GOOD.replace("threshold", "treshold")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rules.yaml"
    path.write_text(GOOD)
    return path


def book_of(path: Path) -> Rulebook:
    return Rulebook(Sources(path, path.parent / "rules.d"), wall=lambda: 1000.0)


def names(book: Rulebook) -> list[str]:
    return [rule.name for rule in book.rules]


def exposed(book: Rulebook) -> dict[str, float]:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(RulesCollector(book))
    lines = [line for line in generate_latest(registry).decode().splitlines() if not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


@pytest.mark.parametrize(
    ("rules", "named", "expected"),
    [
        (Rules(), None, Sources(None, DEFAULT_DIRECTORY)),
        (Rules(path="/a/rules.toml"), None, Sources(Path("/a/rules.toml"), Path("/a/rules.d"))),
        (Rules(path="/a/rules.toml"), Path("/b/r.yaml"), Sources(Path("/b/r.yaml"), Path("/b/rules.d"))),
        (Rules(dir="/c"), None, Sources(None, Path("/c"))),
        (Rules(path="/a/rules.toml", dir="/c"), None, Sources(Path("/a/rules.toml"), Path("/c"))),
    ],
)
def test_the_directory_is_the_one_named_or_beside_the_file(rules: Rules, named: Path | None, expected: Sources) -> None:
    assert sources(Config(rules=rules), named) == expected


def test_a_daemon_does_not_start_with_wrong_rules(path: Path) -> None:
    path.write_text(WRONG)
    with pytest.raises(RuleError, match=r"rules\.yaml:1: rule 'storm': treshold: unknown field"):
        book_of(path)


def test_nothing_has_changed_until_a_file_has(path: Path) -> None:
    book = book_of(path)
    assert not book.has_changed()
    path.write_text(BETTER)
    assert book.has_changed()
    assert book.reload()
    assert not book.has_changed()
    assert (names(book), book.files, book.error, book.reloads, book.failures) == (
        ["storm", "hog"],
        (str(path),),
        None,
        1,
        0,
    )


def test_a_wrong_set_keeps_the_one_before_and_is_told_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    book = book_of(path)
    path.write_text(WRONG)
    assert not book.reload()
    assert not book.has_changed()
    problem = f"{path}:1: rule 'storm': treshold: unknown field 'treshold' for fork_burst; did you mean 'threshold'?"
    assert (names(book), book.error is not None and problem in book.error) == (["storm"], True)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert exposed(book) == {
        "linnix_rules_loaded_timestamp_seconds": 1000,
        "linnix_rules_reload_failed": 1,
        'linnix_rules_reloads_total{result="ok"}': 0,
        'linnix_rules_reloads_total{result="failed"}': 1,
    }


def test_a_set_that_is_right_again_ends_the_error(path: Path) -> None:
    book = book_of(path)
    path.write_text(WRONG)
    book.reload()
    path.write_text(BETTER)
    assert book.reload()
    assert (names(book), book.error) == (["storm", "hog"], None)
    assert exposed(book)["linnix_rules_reload_failed"] == 0


def test_a_file_that_has_gone_keeps_its_rules(path: Path) -> None:
    book = book_of(path)
    path.unlink()
    assert book.has_changed()
    assert not book.reload()
    assert (names(book), book.error) == (["storm"], f"cannot read the rule file {path}: no such file or directory")


def test_an_override_that_comes_and_goes_is_a_change(path: Path) -> None:
    book = book_of(path)
    override = path.parent / "rules.d" / "10.yaml"
    override.parent.mkdir()
    override.write_text("- {name: storm, enabled: false}")
    assert book.has_changed()
    assert book.reload()
    assert (names(book), book.files, book.off) == ([], (str(path), str(override)), {"fork_storm"})
    override.unlink()
    assert book.has_changed()
    assert book.reload()
    assert (names(book), book.off) == (["storm"], set())


class Following:
    """A follower at work, and every set that it handed on."""

    def __init__(self, path: Path, every_s: float) -> None:
        self.book, self.asked, self.used = book_of(path), asyncio.Event(), list[list[str]]()
        self._every_s = every_s

    def use(self, rules: Sequence[Rule]) -> None:
        self.used.append([rule.name for rule in rules])

    def run(self, story: Callable[[Following], Awaitable[None]]) -> None:
        async def scenario() -> None:
            task = asyncio.create_task(follow(self.book, self.use, self.asked, self._every_s))
            try:
                async with asyncio.timeout(20):
                    await story(self)
                assert not task.done()
            finally:
                task.cancel()

        asyncio.run(scenario())

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await asyncio.sleep(0.005)


def test_a_changed_file_is_taken_without_being_asked(path: Path) -> None:
    async def story(f: Following) -> None:
        await asyncio.sleep(0.05)
        path.write_text(WRONG)
        await f.until(lambda: f.book.failures == 1)
        await asyncio.sleep(0.1)
        path.write_text(BETTER)
        await f.until(lambda: bool(f.used))

    following = Following(path, 0.01)
    following.run(story)
    assert (following.used, following.book.failures) == ([["storm", "hog"]], 1)


def test_sighup_has_files_read_though_none_seems_changed(path: Path) -> None:
    async def story(f: Following) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, f.asked.set)
        for times in (1, 2):
            signal.raise_signal(signal.SIGHUP)
            await f.until(lambda times=times: len(f.used) == times)  # type: ignore[misc]

    following = Following(path, 3600)
    following.run(story)
    assert following.used == [["storm"], ["storm"]]


def test_a_failure_of_whoever_uses_the_rules_does_not_end_the_watch(path: Path) -> None:
    async def story(f: Following) -> None:
        def fail(_rules: Sequence[Rule]) -> None:
            f.used.append([])
            raise RuntimeError("no")

        task = asyncio.create_task(follow(f.book, fail, f.asked, 3600))
        for times in (1, 2):
            f.asked.set()
            await f.until(lambda times=times: len(f.used) >= times)  # type: ignore[misc]
        assert not task.done()
        task.cancel()

    asyncio.run(story(Following(path, 3600)))
