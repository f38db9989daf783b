"""Credentials that somebody handed us for an image, kept in memory: by the CRI, when the kubelet pulls it. Without I/O; from any thread."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from registry.errors import CredentialsError
from registry.keychain.credential_keys import normalize_host
from registry.keychain.credentials import CredentialQuestion, Credentials
from registry.reference import Repository

MAX_REPOSITORIES: Final = 4096


class PassedCredentials:
    """The last credentials passed for each repository; those longest unused are forgotten first. A ``CredentialSource``.

    They are for the registry that the image names, never for a mirror of it.
    """

    def __init__(self, origin: str = "passed by CRI") -> None:
        self._origin = origin
        self._lock = threading.Lock()
        self._kept: OrderedDict[Repository, Credentials] = OrderedDict()

    def __repr__(self) -> str:
        return f"<PassedCredentials for {len(self._kept)} repositories>"

    def __str__(self) -> str:
        return self._origin

    def put(self, repository: Repository, credentials: Credentials) -> None:
        """Keeps credentials for a repository, in place of those before."""
        with self._lock:
            self._kept[repository] = replace(credentials, origin=self._origin)
            self._kept.move_to_end(repository)
            while len(self._kept) > MAX_REPOSITORIES:
                self._kept.popitem(last=False)

    def forget(self, repository: Repository) -> None:
        """Drops what was passed for a repository."""
        with self._lock:
            self._kept.pop(repository, None)

    def repositories(self) -> frozenset[Repository]:
        """For which credentials are kept."""
        with self._lock:
            return frozenset(self._kept)

    def offers(self, question: CredentialQuestion) -> Iterator[Credentials | CredentialsError]:
        """See ``CredentialSource``."""
        if normalize_host(question.host) != normalize_host(question.repository.host):
            return
        with self._lock:
            credentials = self._kept.get(question.repository)
            if credentials is not None:
                self._kept.move_to_end(question.repository)
        if credentials is not None:
            yield credentials
