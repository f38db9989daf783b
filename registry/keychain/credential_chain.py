"""One chain of sources of credentials, in one order.

1. the snapshotter's own configuration;
2. what CRI passed for the image, for the kubelet knows best which secret of a pod is meant;
3. Kubernetes' image pull secrets, as far as anybody hands them to the client;
4. the kubelet's credential provider plugins;
5. files that the configuration names, as Kubernetes mounts secrets;
6. files of docker, nerdctl, podman and the kubelet, and the helper programs they name.

The first that knows something answers. What a registry refuses is passed over for a while in favour of the next source: passwords
of clouds live for hours, mounts for weeks. A source that is broken is passed over too, logged once, and told where access is then
refused. Everything here blocks.
"""

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from registry.errors import CredentialsError
from registry.keychain.credential_files import CredentialFile, user_files
from registry.keychain.credential_providers import CredentialProviders
from registry.keychain.credential_settings import CredentialSettings
from registry.keychain.credentials import CredentialQuestion, Credentials, CredentialSource
from registry.keychain.docker_config import Login, login_offers
from registry.keychain.kubernetes_secrets import KubernetesSecrets
from registry.keychain.passed_credentials import PassedCredentials

REFUSED_SECONDS: Final = 300.0
MAX_REFUSED: Final = 1024

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What a chain answered.

    Attributes:
        credentials: what to use; None: go without.
        problems: which sources could not be asked.
    """

    credentials: Credentials | None
    problems: tuple[CredentialsError, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What one source knows, for people: its name, where its offers are from, and what is wrong with it."""

    source: str
    origins: tuple[str, ...]
    problems: tuple[CredentialsError, ...]


class OwnLogins:
    """The entries of our own configuration. A ``CredentialSource``."""

    def __init__(self, logins: Mapping[str, Login]) -> None:
        self._logins = logins

    def __str__(self) -> str:
        return "configuration"

    def offers(self, question: CredentialQuestion) -> Iterator[Credentials | CredentialsError]:
        """See ``CredentialSource``."""
        yield from login_offers(self._logins, question, source=str(self))


class CredentialChain:
    """Asks sources one after the other. From any thread."""

    def __init__(
        self,
        sources: tuple[CredentialSource, ...],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = sources
        self._clock = clock
        self._lock = threading.Lock()
        self._refused: OrderedDict[bytes, float] = OrderedDict()
        self._told: OrderedDict[str, None] = OrderedDict()

    def __repr__(self) -> str:
        return f"<CredentialChain {', '.join(map(str, self._sources))}>"

    def use(self, sources: tuple[CredentialSource, ...]) -> None:
        """What is asked from now on."""
        self._sources = sources

    def find(self, question: CredentialQuestion) -> Found:
        """The first credentials that were not refused lately; where all were, the first of those."""
        problems: list[CredentialsError] = []
        second_best: Credentials | None = None
        for offer in self._offers(question):
            if isinstance(offer, CredentialsError):
                problems.append(offer)
                self._tell(offer)
            elif self._is_refused(question, offer):
                second_best = second_best or offer
            else:
                return Found(offer, tuple(problems))
        return Found(second_best, tuple(problems))

    def reject(self, question: CredentialQuestion, credentials: Credentials) -> None:
        """Tells that a server refused credentials: for a while the others are preferred."""
        mark = _mark(question, credentials)
        with self._lock:
            self._refused[mark] = self._clock() + REFUSED_SECONDS
            self._refused.move_to_end(mark)
            while len(self._refused) > MAX_REFUSED:
                self._refused.popitem(last=False)

    def report(self, question: CredentialQuestion) -> tuple[SourceReport, ...]:
        """What every source knows, in order; all are asked."""
        return tuple(_report(source, question) for source in self._sources)

    def _offers(self, question: CredentialQuestion) -> Iterator[Credentials | CredentialsError]:
        for source in self._sources:
            yield from source.offers(question)

    def _is_refused(self, question: CredentialQuestion, credentials: Credentials) -> bool:
        with self._lock:
            return self._clock() < self._refused.get(_mark(question, credentials), 0.0)

    def _tell(self, problem: CredentialsError) -> None:
        with self._lock:
            if str(problem) in self._told:
                return
            self._told[str(problem)] = None
            while len(self._told) > MAX_REFUSED:
                self._told.popitem(last=False)
        _log.warning("credentials passed over", extra={"fields": {"error": str(problem)}})


def _report(source: CredentialSource, question: CredentialQuestion) -> SourceReport:
    offers = list(source.offers(question))
    return SourceReport(
        str(source),
        tuple(offer.origin for offer in offers if isinstance(offer, Credentials)),
        tuple(offer for offer in offers if isinstance(offer, CredentialsError)),
    )


def credential_sources(
    settings: CredentialSettings, passed: PassedCredentials, secrets: KubernetesSecrets
) -> tuple[CredentialSource, ...]:
    """The sources, in the order of this module's docstring."""
    timeout = settings.program_timeout_seconds
    providers: tuple[CredentialSource, ...] = ()
    if settings.provider_config is not None and settings.provider_directory is not None:
        config, directory = settings.provider_config, settings.provider_directory
        providers = (CredentialProviders(config, directory, timeout_seconds=timeout),)
    files = tuple(CredentialFile(path, helper_timeout_seconds=timeout) for path in settings.files)
    if settings.user_files:
        files += user_files(helper_timeout_seconds=timeout)
    return OwnLogins(settings.logins), passed, secrets, *providers, *files


def _mark(question: CredentialQuestion, credentials: Credentials) -> bytes:
    """What a refusal is remembered by; no secret can be read out of it."""
    text = "\0".join((question.host, str(question.repository), credentials.username))
    return hashlib.sha256(f"{text}\0{credentials.secret}".encode()).digest()
