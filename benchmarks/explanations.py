"""How long an explanation takes, warm: the rules' text, a sentence, a full one, and its first checked sentence.

Run as anybody: ``python benchmarks/explanations.py``. It starts a model server of its own (``--runtime`` as for
``linnix model``), asks about the hand-made hosts of the tests, in turn, and stops it. Times are those of whoever asks,
from the request to the checked text; a first round is not counted. Both grammar engines are measured where there are.
The last table is what the command itself needs before it can ask: its imports, in a process of their own.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from common import last_line, machine, table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit" / "insight"))

from hosts import HOSTS

from linnix.insight import rules_text
from linnix.insight.asking.engines import GBNF, LARK
from linnix.insight.asking.question import Endpoint, parse_endpoint
from linnix.insight.asking.session import Outcome, Session
from linnix.modelserver.artifacts import Conversion, find_model
from linnix.modelserver.server import ServerProcess, free_port
from linnix.modelserver.settings import Settings

#: Seconds that must not be exceeded in 95 of 100 cases: with the wheel, and with a native llama-server.
MUST = {
    "xllamacpp": {"short": 1.5, "full": 2.5, "first sentence": 1.2},
    "llama-server": {"short": 1.0, "full": 2.0, "first sentence": 0.8},
}
RULES_MUST_S = 0.05
IMPORTS_MUST_S = 0.25
IMPORTS = "import linnix.reasoner.cli, linnix.reasoner.analysis, linnix.reasoner.client, linnix.reasoner.output"


def timed(what: Callable[[], object]) -> float:
    """Seconds of the clock on the wall."""
    began = time.monotonic()
    what()
    return time.monotonic() - began


def ask(endpoint: Endpoint, name: str, grammar: str, short: bool) -> tuple[float, Outcome]:
    """One explanation, and what it took from the request to the checked text."""
    began = time.monotonic()
    outcome = Session(HOSTS[name], endpoint, short=short, timeout_s=60, grammar=grammar).run()
    return time.monotonic() - began, outcome


def of_engine(endpoint: Endpoint, grammar: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of each kind, a round of all hosts after the other; the first is not counted."""
    found: dict[str, list[float]] = {"short": [], "full": [], "first sentence": []}
    for number in range(rounds + 1):
        for name in HOSTS:
            short_s, _ = ask(endpoint, name, grammar, True)
            full_s, outcome = ask(endpoint, name, grammar, False)
            if number:
                found["short"].append(short_s)
                found["full"].append(full_s)
                found["first sentence"].append(outcome.sentence_s or full_s)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runtime", default="auto", help="llama-server, xllamacpp or auto")
    parser.add_argument("--rounds", type=int, default=4, help="of all hosts")
    parser.add_argument("--quick", action="store_true", help="one round")
    asked = parser.parse_args()
    rounds = 1 if asked.quick else asked.rounds
    print(f"on {machine()}")
    rules = [timed(lambda facts=facts: rules_text.explain(facts)) for facts in HOSTS.values() for _ in range(5)]
    model = find_model(None, Conversion(*[lambda *_: None] * 4))
    rows, figures = [], {}
    with ServerProcess(model, Settings(port=free_port()), runtime=asked.runtime) as server:
        ready = server.wait_ready()
        endpoint = Endpoint(parse_endpoint(server.url, "--endpoint"))
        must = MUST[server.runtime]
        for grammar in [each for each in (GBNF, LARK) if each in {name.lower() for name in ready.grammars}]:
            for kind, seconds in of_engine(endpoint, grammar, rounds).items():
                p50, p95 = np.percentile(seconds, (50, 95)).tolist()
                figures[f"{grammar} {kind}"] = {"p50": round(p50, 3), "p95": round(p95, 3)}
                rows.append([grammar, kind, len(seconds), f"{p50:.2f}", f"{p95:.2f}", f"{must[kind]:g}"])
        runtime = server.runtime
    table(
        f"Seconds to an explanation, {model.name} on {runtime}, {len(HOSTS)} hosts, {rounds} rounds",
        ["grammar", "what", "times", "median", "p95", "must (p95)"],
        rows,
    )
    imports = [timed(lambda: subprocess.run([sys.executable, "-c", IMPORTS], check=True)) for _ in range(7)]
    bare = [timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)) for _ in range(7)]
    own_s = statistics.median(imports) - statistics.median(bare)
    rules_p95 = float(np.percentile(rules, 95))
    table(
        "Without a model",
        ["what", "seconds", "must"],
        [
            ["the rules' text, p95", f"{rules_p95:.4f}", RULES_MUST_S],
            ["imports of linnix-reasoner beyond Python's own, median", f"{own_s:.3f}", IMPORTS_MUST_S],
        ],
    )
    last_line(runtime=runtime, model=model.name, seconds=figures, rules_p95_s=rules_p95, imports_s=round(own_s, 3))
    return 0


if __name__ == "__main__":
    sys.exit(main())
