"""The only place that touches BPF: libbpf, the rings, the task iterator, and what they need of the host."""

from linnix.cognitod.kernel.errors import KernelError
from linnix.cognitod.kernel.preflight import Check, checks
from linnix.cognitod.kernel.sight import BpfSight, open_sight

__all__ = ["BpfSight", "Check", "KernelError", "checks", "open_sight"]
