"""How an explanation appears: sentence by sentence, first perhaps the rules' while the model is still reading.

Owns the order of text, marks and the ``source:`` line. Refuses to decide where text comes from. Invariant: whoever
reads along can tell at every moment whose words they are, and the last words are those that ``source:`` names.

On a terminal the model's text replaces the rules' in place. Elsewhere nothing can be taken back: both stay, marked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from linnix.insight.answer import Insight
from linnix.insight.render import clean
from linnix.reasoner.output import Output, Paragraph

if TYPE_CHECKING:
    from linnix.insight.asking.reading import Reading

READING = "[the rules' text, while the model is still reading]"
MODELS = "[the model's text]"
AGAIN = "[the model was asked once more; its text]"
INSTEAD = "[the model's text is given up here; the rules' text instead]"
OWN = "The model's own reading (its reasoning is its own; names, numbers, ranks and directions are checked):"
STANDS = "[the model's text is given up; the rules' text stands]"


class Telling:
    """One explanation on its way to the reader. ``one_line``: a single sentence, unwrapped on a pipe."""

    def __init__(self, output: Output, *, one_line: bool = False) -> None:
        self._output = output
        self._one_line = one_line
        self._provisional: Paragraph | None = None
        self._rules: Insight | None = None
        self._paragraph: Paragraph | None = None

    def meanwhile(self, rules: Insight) -> None:
        """Show the rules' text now; the model's may still come."""
        self._output.write(READING + "\n", "dim", to_file=False)
        self._provisional = self._new(provisional=True, style="dim")
        self._rules = rules
        for sentence in rules.sentences:
            self._provisional.add(sentence.text)
        self._provisional.end()

    def sentence(self, text: str) -> None:
        """One checked sentence of the model."""
        if self._paragraph is None:
            if self._provisional is not None and self._output.replaces:
                self._provisional.erase(more_lines=1)
            elif self._provisional is not None:
                self._output.write(MODELS + "\n", "dim", to_file=False)
            self._paragraph = self._new()
        self._paragraph.add(text)

    def anew(self, insight: Insight) -> None:
        """The first answer was refused, and the second one is here, whole."""
        if self._paragraph is not None:
            self._end_paragraph()
            self._output.line(AGAIN, "dim")
            self._paragraph = None
        for sentence in insight.sentences:
            self.sentence(sentence.text)

    def from_model(self, name: str, seconds: float) -> None:
        """The model's answer is complete and checked."""
        self._end_paragraph()
        self._output.line(f"source: {clean(name)} (model), {seconds:.1f} s", "dim")

    def from_rules(self, rules: Insight, reason: str) -> None:
        """There is no checked answer of the model's, for ``reason``: the rules have the last word."""
        if self._paragraph is not None:
            self._end_paragraph()
            self._output.line(INSTEAD, "yellow")
            self._tell(rules)
        elif self._provisional is not None and self._output.replaces:
            self._provisional.erase(more_lines=1)
            self._tell(rules)
        elif self._provisional is not None:
            self._output.write(STANDS + "\n", "yellow", to_file=False)
            self._output.to_file("".join(f"{sentence.text}\n" for sentence in rules.sentences))
        else:
            self._tell(rules)
        self._output.line(f"source: rules ({reason})", "yellow")

    def reading(self, reading: Reading) -> None:
        """What a larger model makes of it, as far as it could be checked, apart from what was checked whole."""
        self._output.line()
        self._output.line(OWN, "bold")
        paragraph = self._new()
        for sentence in reading.sentences:
            paragraph.add(sentence)
        paragraph.end()
        if reading.left_out:
            self._output.line(
                f"[left out: {len(reading.left_out)} of its sentences, which could not be checked]", "dim"
            )
        if reading.trouble is not None:
            self._output.line(f"[{reading.trouble}]", "yellow")

    def _tell(self, insight: Insight) -> None:
        paragraph = self._new()
        for sentence in insight.sentences:
            paragraph.add(sentence.text)
        paragraph.end()

    def _new(self, *, provisional: bool = False, style: str | None = None) -> Paragraph:
        return Paragraph(self._output, provisional=provisional, style=style, one_line=self._one_line)

    def _end_paragraph(self) -> None:
        if self._paragraph is not None:
            self._paragraph.end()
