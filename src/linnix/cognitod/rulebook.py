"""The rules in use: where they come from, and how a daemon that runs takes others.

Owns when files are looked at and what becomes of a set that is wrong: nothing, the one before stays in use. Refuses to
judge rules (``detect.rules`` does) and to apply them (the pipeline does). Invariant: what is in use was loaded whole
and without a mistake; what a change of the files was worth is told once, in the log, and until the next in ``error``.

Files are read by a thread, because a long one takes a while to parse and the event loop has others to serve.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from linnix.cognitod.config import Config
from linnix.cognitod.detect.rules import Loaded, Rule, RuleError, Sources

log = logging.getLogger(__name__)

#: Where overrides are looked for when no rule file is named, and neither is a directory.
DEFAULT_DIRECTORY = Path("/etc/linnix/rules.d")
#: How often it is looked whether a file has changed. SIGHUP does not wait for it.
LOOK_EVERY_S = 5.0

Use = Callable[[Sequence[Rule]], None]


def sources(config: Config, named: Path | None = None) -> Sources:
    """The file that was named, by the argument or else by the configuration, and the directory that goes with it."""
    path = named or (Path(config.rules.path) if config.rules.path else None)
    beside = path.parent / "rules.d" if path else DEFAULT_DIRECTORY
    return Sources(path, Path(config.rules.dir) if config.rules.dir else beside)


class Rulebook:
    """One set of rules in use, and whether the files hold a better one."""

    def __init__(self, files: Sources, wall: Callable[[], float] = time.time) -> None:
        """Raises ``RuleError`` where there is no set to begin with."""
        self._sources = files
        self._wall = wall
        # Looked at before it is read: what changes meanwhile is a change.
        self._stamp = files.stamp()
        loaded = files.load()
        self.rules: tuple[Rule, ...] = loaded.rules
        self.files: tuple[str, ...] = loaded.files
        self.off = loaded.off
        self.ignored = _ignored(loaded)
        self.loaded_at = wall()
        self.error: str | None = None
        self.reloads = 0
        self.failures = 0

    def has_changed(self) -> bool:
        """Whether a file is another than at the last look."""
        return self._sources.stamp() != self._stamp

    def reload(self) -> bool:
        """Take what the files hold now, if it is right; whether it was."""
        self._stamp = self._sources.stamp()
        try:
            loaded = self._sources.load()
        except RuleError as error:
            self.failures += 1
            self.error = str(error)
            log.error("rules: %s; nothing changes, still in use: %d", error, len(self.rules))
            return False
        self.rules, self.files, self.off, self.loaded_at = loaded.rules, loaded.files, loaded.off, self._wall()
        self.ignored = _ignored(loaded)
        self.error = None
        self.reloads += 1
        log.info("rules: loaded, now in use: %d, from %s", len(self.rules), ", ".join(self.files))
        return True


def _ignored(loaded: Loaded) -> tuple[str, ...]:
    """Overrides of nothing, told in the log."""
    for orphan in loaded.orphans:
        log.warning("rules: %s; ignored", orphan)
    return tuple(map(str, loaded.orphans))


async def follow(book: Rulebook, use: Use, asked: asyncio.Event, every_s: float = LOOK_EVERY_S) -> None:
    """Hand every new set to ``use``, for ever: when a file has changed, and whenever ``asked`` is set."""
    while True:
        try:
            async with asyncio.timeout(every_s):
                await asked.wait()
        except TimeoutError:
            pass
        try:
            if (asked.is_set() or book.has_changed()) and await _reload(book, asked):
                use(book.rules)
        except Exception:
            # Watching files is a convenience: it must not end the daemon, nor itself.
            log.exception("rules: cannot be loaded; those before stay in use")


async def _reload(book: Rulebook, asked: asyncio.Event) -> bool:
    asked.clear()  # before the files are read: a request that comes meanwhile is another
    return await asyncio.to_thread(book.reload)
