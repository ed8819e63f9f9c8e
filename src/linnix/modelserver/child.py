"""The process that llama.cpp runs in.

Owns two ways to become a server: exec of a ``llama-server``, or xllamacpp in this interpreter. Refuses to outlive the
process that started it: the kernel kills it when that one dies, so that no server is left behind holding the port.
Invariant: nothing here runs inside the daemon or the command that asked; an abort in llama.cpp ends this process only.

Started as ``python -m linnix.modelserver.child PARENT_PID exec COMMAND…`` or ``… PARENT_PID xllamacpp JSON``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

import msgspec

_PR_SET_PDEATHSIG = 1


class Job(msgspec.Struct, frozen=True):
    """What xllamacpp is to serve; ``cache_ram_mib`` in MiB, ``ctx`` in tokens. The key comes in ``LLAMA_API_KEY``."""

    model: str
    name: str
    host: str
    port: int
    ctx: int
    threads: int
    decode_threads: int
    slots: int
    cache_ram_mib: int


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; leave at once if it already has."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:
        sys.exit(1)


def serve_xllamacpp(job: Job) -> None:
    """Serve until a signal ends the process; raises what xllamacpp raises when it cannot load or listen."""
    try:
        import xllamacpp  # type: ignore[import-untyped]  # a Cython module without stubs
    except ImportError as error:
        hint = "; install it: sudo apt-get install libgomp1" if "libgomp" in str(error) else ""
        sys.exit(f"xllamacpp cannot be loaded: {error}{hint}")

    params = xllamacpp.CommonParams()
    params.model.path = job.model
    params.model_alias = {job.name}
    params.hostnames = [job.host]
    params.port = job.port
    params.n_ctx = job.ctx
    params.n_parallel = job.slots
    params.cpuparams.n_threads = job.decode_threads
    params.cpuparams_batch.n_threads = job.threads
    params.cache_ram_mib = job.cache_ram_mib
    params.endpoint_metrics = True
    params.endpoint_slots = False
    params.ui = False
    params.offline = True
    params.cors_origins = "localhost"
    if key := os.environ.get("LLAMA_API_KEY"):
        params.api_keys = [key]
    server = xllamacpp.Server(params)  # returns once the model is loaded; its threads serve
    while server.listening_address:
        signal.pause()


def main(arguments: list[str]) -> None:
    """Tie this process to its parent and become the server."""
    parent_pid, how, *rest = arguments
    die_with_parent(int(parent_pid))
    if how == "exec":
        os.execv(rest[0], rest)
    serve_xllamacpp(msgspec.json.decode(rest[0], type=Job))


if __name__ == "__main__":
    main(sys.argv[1:])
