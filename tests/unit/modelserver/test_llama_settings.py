import os
from dataclasses import replace
from pathlib import Path

import pytest

from linnix.modelserver.artifacts import Model
from linnix.modelserver.cores import read_quotas, usable_cores
from linnix.modelserver.header import Header, ModelError
from linnix.modelserver.settings import (
    Settings,
    child_environment,
    context_for,
    decode_threads,
    llama_server_arguments,
    read_help,
)

CURRENT_HELP = """
-m,    --model FNAME   -a,    --alias STRING  --host HOST  --port PORT  -c, --ctx-size N  -t, --threads N
-tb,   --threads-batch N   -np, --parallel N  -cram,  --cache-ram N   --cors-origins LIST
--metrics   --slots, --no-slots   --ui, --webui, --no-ui, --no-webui   --offline
"""
OLD_HELP = "--model --alias --host --port --ctx-size --threads --threads-batch --parallel --metrics --no-webui"


def model(context_length: int | None) -> Model:
    metadata: dict[str, int | float | bool | str] = {"general.architecture": "llama"}
    if context_length is not None:
        metadata["llama.context_length"] = context_length
    return Model(Path("/m/tiny.gguf"), "tiny", "named", Header(Path("/m/tiny.gguf"), metadata, 1, 1, 1, 1))


@pytest.mark.parametrize(
    ("asked", "trained", "served"), [(4096, 8192, 4096), (8192, 8192, 8192), (32768, 8192, 8192), (32768, None, 32768)]
)
def test_the_context_is_never_more_than_the_model_was_trained_for(asked: int, trained: int | None, served: int) -> None:
    ctx, note = context_for(model(trained), asked)
    assert ctx == served
    assert note == (
        None if asked == served else "LLAMA_CTX=32768 is more than the 8192 tokens tiny was trained for: serving 8192"
    )


def test_a_current_llama_server_is_hardened_with_every_flag_it_knows() -> None:
    arguments = llama_server_arguments(
        Path("/bin/llama-server"), model(None), Settings(8091, threads=3), 4096, CURRENT_HELP
    )
    assert arguments == [
        "/bin/llama-server", "--model", "/m/tiny.gguf", "--alias", "tiny", "--host", "127.0.0.1", "--port", "8091",
        "--ctx-size", "4096", "--threads", "2", "--parallel", "1", "--threads-batch", "3", "--cache-ram", "64",
        "--cors-origins", "localhost", "--metrics", "--no-slots", "--no-ui", "--offline",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("file_bytes", "threads", "decoding"),
    [(145_000_000, 2, 1), (145_000_000, 8, 7), (145_000_000, 1, 1), (2_200_000_000, 2, 2), (2_200_000_000, 8, 8)],
    ids=["small on two cores", "small on eight", "small on one", "large on two", "large on eight"],
)
def test_a_small_model_leaves_a_core_to_others_while_it_decodes(file_bytes: int, threads: int, decoding: int) -> None:
    large = replace(model(None), header=replace(model(None).header, file_bytes=file_bytes))
    assert decode_threads(large, threads) == decoding


def test_an_older_llama_server_gets_no_flag_that_it_does_not_know() -> None:
    arguments = llama_server_arguments(Path("/bin/llama-server"), model(None), Settings(threads=1), 4096, OLD_HELP)
    assert arguments[arguments.index("--threads-batch") :] == ["--threads-batch", "1", "--metrics", "--no-webui"]


def test_the_key_is_never_on_the_command_line_and_foreign_settings_do_not_reach_the_child() -> None:
    settings = Settings(api_key="s3cret", threads=1)
    assert "s3cret" not in llama_server_arguments(Path("/l"), model(None), settings, 4096, CURRENT_HELP)
    environment = {"PATH": "/bin", "LLAMA_ARG_HOST": "0.0.0.0", "LLAMA_API_KEY": "old", "GOMP_SPINCOUNT": "9"}
    assert child_environment(environment, settings) == {
        "PATH": "/bin",
        "GOMP_SPINCOUNT": "9",
        "LLAMA_API_KEY": "s3cret",
    }
    assert child_environment(environment, Settings()) == {"PATH": "/bin", "GOMP_SPINCOUNT": "9"}


def test_threads_wait_briefly_unless_the_user_says_how() -> None:
    assert child_environment({}, Settings()) == {"GOMP_SPINCOUNT": "2000"}
    assert child_environment({"OMP_WAIT_POLICY": "active"}, Settings()) == {"OMP_WAIT_POLICY": "active"}


def test_a_llama_server_that_does_not_run_is_an_error_that_offers_the_other_runtime(tmp_path: Path) -> None:
    broken = tmp_path / "llama-server"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    with pytest.raises(ModelError, match=r"llama-server does not run: .*127.*\n.*--runtime xllamacpp"):
        read_help(broken)


def test_threads_default_to_the_usable_cores_up_to_eight() -> None:
    assert Settings().resolved_threads() == min(8, usable_cores())
    assert Settings(threads=16).resolved_threads() == 16


def cgroup(root: Path, line: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(line)
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("line", "files", "quotas"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "150000 100000\n"}, [1.5]),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n", "a/cpu.max": "200000 100000\n"}, [0.5, 2.0]),
        ("0::/not/visible/in/here\n", {"cpu.max": "100000 100000\n"}, [1.0]),
        (
            "4:cpu,cpuacct:/c\n1:name=systemd:/\n",
            {"cpu,cpuacct/c/cpu.cfs_quota_us": "300000\n", "cpu,cpuacct/c/cpu.cfs_period_us": "100000\n"},
            [3.0],
        ),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, []),
        ("", {}, []),
    ],
    ids=["a parent's", "own and parent's", "container", "version 1", "version 1, none", "no cgroups"],
)
def test_cpu_quotas_are_read_from_the_group_and_those_above(
    tmp_path: Path, line: str, files: dict[str, str], quotas: list[float]
) -> None:
    assert read_quotas(cgroup(tmp_path, line, files)) == quotas


def test_half_a_core_is_one_thread_and_affinity_limits_too(tmp_path: Path) -> None:
    assert usable_cores(cgroup(tmp_path / "half", "0::/\n", {"cpu.max": "50000 100000\n"})) == 1
    assert usable_cores(cgroup(tmp_path / "many", "0::/\n", {"cpu.max": "max 100000\n"})) == len(
        os.sched_getaffinity(0)
    )
