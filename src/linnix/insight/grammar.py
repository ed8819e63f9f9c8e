"""Grammars that admit exactly the paths through a menu.

Owns the two spellings: GBNF, which llama.cpp refuses with HTTP 400 when it is broken (so it is the default), and Lark
for llguidance, which is faster but lets a broken grammar pass unconstrained. Refuses names from processes: ids only.
Invariant: a legal string parses, and ``verify`` accepts it.
"""

from __future__ import annotations

from collections.abc import Sequence

from linnix.insight.menu import Choice, Part


def _alternatives(part: Part) -> str:
    return "(" + " | ".join(f'"{option}"' for option in part.options) + ")"


def _list(parts: Sequence[Part]) -> str:
    """The first part is never optional: it carries no comma."""
    first, *rest = parts
    out = [_alternatives(first)]
    for part in rest:
        item = f'"," {_alternatives(part)}'
        out.append(f"({item})?" if part.optional else item)
    return " ".join(out)


def _body(choice: Choice) -> str:
    text = f'"{choice.cls} proc={choice.process}\\nwhy=" {_list(choice.why)}'
    return text + (f' "\\nact=" {_list(choice.acts)}' if choice.acts else "")


def gbnf(menu: Sequence[Choice]) -> str:
    """llama.cpp's grammar for ``menu``."""
    rules = [f"choice-{n} ::= {_body(choice)}" for n, choice in enumerate(menu)]
    names = " | ".join(f"choice-{n}" for n in range(len(menu)))
    return "\n".join([f'root ::= "cls=" ({names})', *rules]) + "\n"


def lark(menu: Sequence[Choice]) -> str:
    """The same for llguidance, as llama.cpp takes it in the ``grammar`` field."""
    rules = [f"choice_{n}: {_body(choice)}" for n, choice in enumerate(menu)]
    names = " | ".join(f"choice_{n}" for n in range(len(menu)))
    return "\n".join(["%llguidance {}", f'start: "cls=" ({names})', *rules]) + "\n"
