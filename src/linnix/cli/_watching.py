"""Looking again and again: what `--watch` does, whatever is looked at.

Owns the redrawing of a terminal. Refuses to ask or to interpret. Invariant: what does not go to a terminal is only ever
appended to, and ends with Ctrl-C like any other command.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable


def redraws() -> bool:
    """Whether lines can be drawn over those before."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def watch(shown: Callable[[], list[str]], interval_s: float, redrawn: bool) -> None:
    """Print what is shown, over what was shown before if it is to be redrawn; until an error or an interrupt."""
    drawn = 0
    while True:
        lines = shown()
        if redrawn:
            lines = lines[: max(shutil.get_terminal_size().lines - 1, 3)]
            sys.stdout.write(f"\x1b[{drawn}A\r\x1b[J" if drawn else "")
            drawn = len(lines)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        sys.stdout.flush()
        time.sleep(interval_s)
