"""What an fs server is told to do: one file, which the snapshotter writes and the server reads, at start and when asked to.

The file outlives both processes, and may have been written by an older or a newer version of this program: what is not
known is ignored, what is missing has its default.
"""

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from fs.cache_usage import CacheSettings
from fs.errors import SettingsError
from fs.filling import FillSettings
from fs.log import LogLevel
from fs.request_planning import FetchSettings
from fs.request_slots import SlotSettings
from registry.keychain.credential_settings import SealSettings
from registry.settings import ClientSettings

_MODE = 0o600  # settings of registries may hold secrets, in headers
_MAX_BYTES = 16 << 20


class Backend(enum.StrEnum):
    """Who shows layers to containers.

    ``erofs`` is the kernel, which asks for missing content only; ``fuse`` is the fs server. ``auto`` takes the kernel
    where it can show them.
    """

    AUTO = "auto"
    EROFS = "erofs"
    FUSE = "fuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class FsSettings:
    """How layers are fetched and served.

    Attributes:
        backend: who shows them; read at start only.
        log_level: least level that is logged.
        filling: what is fetched unasked.
        fetching: how requests are traded against bytes.
        slots: how many requests may be under way at a time; read at start only.
        caching: how much is kept.
        registry: how registries are spoken to.
        sealing: how credentials that CRI passed are kept on disk; None: not at all.
    """

    backend: Backend = Backend.AUTO
    log_level: LogLevel = LogLevel.INFO
    filling: FillSettings = field(default_factory=FillSettings)
    fetching: FetchSettings = field(default_factory=FetchSettings)
    slots: SlotSettings = field(default_factory=SlotSettings)
    caching: CacheSettings = field(default_factory=CacheSettings)
    registry: ClientSettings = field(default_factory=ClientSettings)
    sealing: SealSettings | None = None


def write_settings(path: Path, settings: FsSettings) -> None:
    """Writes settings, whole or not at all, for nobody else to read.

    Raises:
        OSError: the disk is full or broken.
    """
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    new.touch(mode=_MODE)
    new.write_bytes(msgspec.json.format(msgspec.json.encode(settings, enc_hook=_encode)))
    new.rename(path)


def read_settings(path: Path) -> FsSettings:
    """Reads settings.

    Raises:
        SettingsError: the file cannot be read, or says what cannot be.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES)
        return msgspec.json.decode(raw, type=FsSettings, dec_hook=_decode)
    except (OSError, msgspec.DecodeError) as error:
        raise SettingsError(path, str(error)) from error


def _encode(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"settings hold a {type(value).__name__}")


def _decode(kind: type, value: Any) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise NotImplementedError(f"settings hold a {kind.__name__}")
