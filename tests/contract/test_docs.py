"""docs/api.md says what there is, no more and no less."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from linnix.cognitod.api import wire
from linnix.cognitod.api.app import PAGES
from linnix.insight import facts

DOCUMENT = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def test_every_route_has_its_heading_and_every_heading_its_route() -> None:
    headings = re.findall(r"^### GET (\S+)$", DOCUMENT, re.MULTILINE)
    assert sorted(headings) == sorted(page.path for page in PAGES)


def test_every_field_that_is_sent_is_named() -> None:
    documented = set(re.findall(r"[A-Za-z0-9_]+", DOCUMENT))
    shapes = (
        wire.Process,
        wire.Event,
        wire.System,
        wire.SystemMetrics,
        wire.Metrics,
        wire.Ready,
        wire.Status,
        wire.Alert,
        wire.Insights,
        wire.Graph,
        wire.GraphNode,
        facts.Job,
    )
    sent = {field.encode_name for shape in shapes for field in msgspec.structs.fields(shape)}
    assert sent - documented - {"priority"} == set()
