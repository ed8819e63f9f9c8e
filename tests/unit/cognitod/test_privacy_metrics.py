"""What there was no time to search is counted where operators look."""

from __future__ import annotations

import pytest
from cognitod_make import text
from prometheus_client import CollectorRegistry, generate_latest

from linnix.cognitod import redact
from linnix.cognitod.metrics.privacy import PrivacyCollector


def test_hidden_command_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "BUDGET_NS", -1)
    redactor = redact.Redactor()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PrivacyCollector(redactor))
    redactor(text(1, 1, 1, "x", "--password=QQ"))

    assert b"linnix_command_lines_hidden_total 1.0\n" in generate_latest(registry)
