"""Grammars that admit exactly the paths through a menu.

Owns the two spellings: Lark for llguidance, which costs nothing but lets a broken grammar pass unconstrained, and GBNF,
which any llama.cpp has and refuses with HTTP 400 when it is broken. Refuses names from processes: ids only. Invariant:
a legal string parses, and ``verify`` accepts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from linnix.insight.evidence import CITED, Item
from linnix.insight.menu import Choice, Menu, Part


def _alternatives(options: Sequence[str]) -> str:
    return "(" + " | ".join(f'"{option}"' for option in options) + ")"


def _list(parts: Sequence[Part]) -> str:
    """The first part is never optional: it carries no comma."""
    first, *rest = parts
    out = [_alternatives(first.options)]
    for part in rest:
        item = f'"," {_alternatives(part.options)}'
        out.append(f"({item})?" if part.optional else item)
    return " ".join(out)


def _body(choice: Choice) -> str:
    acts = f' "\\nact=" {_list(choice.acts)}' if choice.acts else ""
    whole = f"{choice.cls},{choice.severity},{choice.process}"
    return f'"{choice.label}\\nwhy=" {_list(choice.why)}{acts} "\\nof={whole}"'


def _evidence(items: Sequence[Item]) -> str:
    """One to three of them, in their order."""
    ids = [item.id for item in items]
    cited = [",".join(some) for size in range(1, CITED + 1) for some in combinations(ids, size)]
    return f'"ev=" {_alternatives(cited)} "\\n" ' if cited else ""


def gbnf(menu: Menu) -> str:
    """llama.cpp's grammar for ``menu``."""
    rules = [f"choice-{n} ::= {_body(choice)}" for n, choice in enumerate(menu.choices)]
    names = " | ".join(f"choice-{n}" for n in range(len(menu.choices)))
    return "\n".join([f'root ::= {_evidence(menu.evidence)}"is=" ({names})', *rules]) + "\n"


def lark(menu: Menu) -> str:
    """The same for llguidance, as llama.cpp takes it in the ``grammar`` field."""
    rules = [f"choice_{n}: {_body(choice)}" for n, choice in enumerate(menu.choices)]
    names = " | ".join(f"choice_{n}" for n in range(len(menu.choices)))
    return "\n".join(["%llguidance {}", f'start: {_evidence(menu.evidence)}"is=" ({names})', *rules]) + "\n"
