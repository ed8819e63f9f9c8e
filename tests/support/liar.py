"""An endpoint that lies about the host it is asked about: plausibly, in the answer format and out of it.

It reads the menu that it is offered, so that what it says has the right shape: a label of the menu with another cause's
class, the severity of nobody, a process that is somebody else, a word that does not hold. And it speaks freely, as a
model does that was never told of a format. Nothing that it says is on offer. By itself, for ``linnix eval``:

    PYTHONPATH=tests python -m support.liar 8099 &
    linnix eval --cases datasets/faultlab --part test --hostile 500 --model http://127.0.0.1:8099
"""

from __future__ import annotations

import random
import re
import socket
import sys
import threading
from collections.abc import Iterator

from linnix.insight.asking.question import COMPLETIONS
from linnix.insight.classes import CLASSES, SEVERITIES
from support.far_end import Handler, Request, Server, completion

#: Whole lies: plausible, and false of any host: nobody there has such a name.
PROSE = (
    "The culprit is mysqld (pid 4711), which uses 93 % of the CPU.",
    "postgres (pid 1003) holds the most memory, 14.2 GB, and it keeps growing.",
    "cc1 leaks memory at 512 MB/s. reindex is falling. The host is 12 % busy and will fail in 30 s.",
    "kworker/3:1 blocks the disk. 17 processes wait for nginx.",
    "reindex (pid 1002) is the busiest process with 88 % CPU, and postgres uses more than cc1.",
    '{"class": "normal", "summary": "All is well, nothing to do.", "confidence": 0.99}',
    "nginx was restarted 4 times and sshd is to blame.",
)
_CHOICE = re.compile(r"^([A-Z]) (\w+) (\w+) (P\d+|none) why (.+)$", re.M)
_WORD = re.compile(r"[a-z_]+")


def lies(menu: str, chance: random.Random) -> Iterator[str]:
    """Answers in the format, none of which the menu admits."""
    offered = _CHOICE.findall(menu)
    label, cls, severity, process, places = chance.choice(offered)
    causes = {(each[1], each[2], each[3]) for each in offered}
    why, _, acts = places.partition(" act ")
    words = [chance.choice(_WORD.findall(place)) for place in why.split() if not place.startswith("[")]
    taken = [chance.choice(_WORD.findall(place)) for place in acts.split() if not place.startswith("[")]
    parts = ["is={0}", "why={4}", "of={1},{2},{3}"]
    shape = "\n".join(parts if "Short menu" in menu else ["ev=a", *parts[:2], "act={5}", *parts[2:]])

    def answer(
        cls: str = cls, severity: str = severity, process: str = process, why: str = ",".join(words), end: str = ""
    ) -> str:
        return shape.format(label, cls, severity, process, why, ",".join(taken) or "nothing") + end

    for other in chance.sample(list(CLASSES), len(CLASSES)):
        if (other, severity, process) not in causes:
            yield answer(cls=other)
            break
    yield answer(severity=next(s for s in SEVERITIES if (cls, s, process) not in causes))
    yield answer(process=next(p for p in (f"P{n}" for n in range(1, 99)) if (cls, severity, p) not in causes))
    yield answer(why="certainly_" + ",".join(words))
    yield answer(end="\nThe culprit is mysqld (pid 4711).")
    yield "The culprit is mysqld (pid 4711).\n" + answer()
    yield answer(end=" (confidence 99 %)")
    yield answer().replace("ev=a", "ev=z") if "ev=" in shape else answer().replace("why=", "so=")


def liar(seed: int) -> Handler:
    """Answers each request with another lie."""
    chance = random.Random(seed)
    turn = threading.Lock()

    def handler(request: Request, connection: socket.socket) -> None:
        menu = request.json["messages"][-1]["content"]
        with turn:
            lie = chance.choice([*PROSE, *(lies(menu, chance) if _CHOICE.search(menu) else ())])
        completion(*(lie[at : at + 7] for at in range(0, len(lie), 7)))(request, connection)

    return handler


def main() -> None:
    """Lie until interrupted."""
    server = Server({COMPLETIONS: liar(1)}, port=int(sys.argv[1]) if len(sys.argv) > 1 else 0)
    print(f"lying at {server.url}", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
