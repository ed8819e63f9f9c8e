"""What is wrong on a host, and who is behind it: pure functions of batches, samples and ``now_ns``."""

from linnix.cognitod.detect.alerts import Alerts
from linnix.cognitod.detect.engine import Engine

__all__ = ["Alerts", "Engine"]
