"""The credentials that CRI passed, sealed in a file, if that is wanted: they outlive the fs server and the machine's restart.

Whatever is wrong with the key or the file, pulls go on: credentials are then in memory only, and the log says why. Calls block on the
disk and may come from any thread.
"""

import logging
import math
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fs.durable_files import replace_durably, sync_directory, write_at
from registry.keychain.credential_seal import (
    MAX_KEY_BYTES,
    MAX_SEALED_BYTES,
    KeptCredentials,
    SealBrokenError,
    SealingKey,
    new_key,
)
from registry.keychain.credential_settings import SealSettings
from registry.keychain.credentials import Credentials
from registry.keychain.passed_credentials import PassedCredentials
from registry.reference import Repository

_log = logging.getLogger(__name__)
# How much younger credentials must be than the same that lie there already, to be worth a write.
_RENEWED_SECONDS: Final = 3600.0
_OTHERS_MAY_READ: Final = stat.S_IRWXG | stat.S_IRWXO


class SealedCredentials:
    """Keeps what is passed in memory, and its sealed copy.

    Args:
        passed: the memory.
        file: the copy.
    """

    def __init__(
        self,
        passed: PassedCredentials,
        file: Path,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._passed = passed
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._settings: SealSettings | None = None
        self._key: SealingKey | None = None
        self._kept: dict[Repository, KeptCredentials] = {}

    def __repr__(self) -> str:
        return f"<SealedCredentials {len(self._kept)} {'sealed' if self._key else 'in memory'}>"

    def use(self, settings: SealSettings | None) -> None:
        """How to keep them from now on; without settings, what was kept is deleted."""
        with self._lock:
            if settings is not None and settings == self._settings and self._key is not None:
                return
            self._settings, self._key = settings, None
            if settings is None:
                self._delete()
                return
            try:
                self._key = _read_key(settings.key)
            except (OSError, ValueError) as error:
                fields = {"key": str(settings.key), "error": _reason(error)}
                _log.error("credentials are kept in memory only", extra={"fields": fields})
                return
            self._restore(self._key)
            self._write()

    def put(self, repository: Repository, credentials: Credentials) -> None:
        """Keeps credentials for a repository, in place of those before."""
        self._passed.put(repository, credentials)
        with self._lock:
            now = self._clock()
            before = self._kept.get(repository)
            if (
                before is not None
                and before.credentials == credentials
                and now - before.passed_at < _RENEWED_SECONDS
            ):
                return  # as each pull of the same image brings them
            self._kept[repository] = KeptCredentials(repository, credentials, now)
            self._write()

    def _delete(self) -> None:
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            fields = {"file": str(self._file), "error": _reason(error)}
            _log.error("sealed credentials cannot be deleted", extra={"fields": fields})

    def _restore(self, key: SealingKey) -> None:
        try:
            with self._file.open("rb") as file:
                entries = key.unseal(file.read(MAX_SEALED_BYTES))
        except FileNotFoundError:
            return
        except (OSError, SealBrokenError) as error:
            fields = {"file": str(self._file), "error": _reason(error)}
            _log.warning("sealed credentials are forgotten", extra={"fields": fields})
            return
        for kept in entries:
            if kept.repository not in self._kept and self._is_young(kept):
                self._kept[kept.repository] = kept
                self._passed.put(kept.repository, kept.credentials)
        _log.info("sealed credentials read", extra={"fields": {"repositories": len(entries)}})

    def _write(self) -> None:
        """Seals what is young enough, and still in memory."""
        known = self._passed.repositories()
        self._kept = {
            repository: kept
            for repository, kept in self._kept.items()
            if repository in known and self._is_young(kept)
        }
        if self._key is None:
            return
        try:
            replace_durably(self._file, self._key.seal(self._kept.values()))
        except OSError as error:
            fields = {"file": str(self._file), "error": _reason(error)}
            _log.warning("credentials are not kept on disk", extra={"fields": fields})

    def _is_young(self, kept: KeptCredentials) -> bool:
        """Neither too old, nor from a future that a wrong clock had made up."""
        max_age = math.inf if self._settings is None else self._settings.max_age_seconds
        return abs(self._clock() - kept.passed_at) <= max_age


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _read_key(path: Path) -> SealingKey:
    """Reads a key, and makes it if it is not there."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & _OTHERS_MAY_READ:
                raise ValueError(f"others may read it: chmod 600 {path}")
            return SealingKey.parse(file.read(MAX_KEY_BYTES))
    except FileNotFoundError:
        return _make_key(path)


def _make_key(path: Path) -> SealingKey:
    key = new_key()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        write_at(descriptor, key, 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(path.parent)
    _log.info("sealing key made", extra={"fields": {"key": str(path)}})
    return SealingKey.parse(key)
