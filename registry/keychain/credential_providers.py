"""The kubelet's credential provider plugins, run by ourselves.

Cloud registries give short-lived passwords: those that the kubelet got for a pull are worth nothing when a container reads days later.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from registry.errors import CredentialsError
from registry.keychain.credentials import CredentialQuestion, Credentials
from registry.keychain.programs import run_program
from registry.keychain.provider_config import (
    MAX_CONFIG_BYTES,
    CacheKeyType,
    Provider,
    ProviderAnswer,
    dump_request,
    parse_answer,
    parse_providers,
)

MAX_ANSWERS: Final = 1024

_CacheKey = tuple[Provider, str]


class CredentialProviders:
    """The programs that a ``CredentialProviderConfig`` names. A ``CredentialSource``; from any thread.

    Answers are kept as long as they say. One that is refused by a registry is asked for anew.
    """

    def __init__(
        self,
        config: Path,
        directory: Path,
        *,
        timeout_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Takes the configuration's path, the directory of the programs, and how long each may take."""
        self.config = config
        self._directory = directory
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: OrderedDict[_CacheKey, tuple[float, ProviderAnswer]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<CredentialProviders {self.config}, {len(self._answers)} answers>"

    def __str__(self) -> str:
        return str(self.config)

    def offers(self, question: CredentialQuestion) -> Iterator[Credentials | CredentialsError]:
        """See ``CredentialSource``: what is kept, and then what the programs say now."""
        try:
            providers = parse_providers(self._read(), source=str(self.config))
        except CredentialsError as error:
            yield error
            return
        for provider in providers:
            if provider.fits(question):
                yield from self._offers_of(provider, question)

    def _offers_of(
        self, provider: Provider, question: CredentialQuestion
    ) -> Iterator[Credentials | CredentialsError]:
        kept = self._recall(provider, question)
        if kept is not None:
            yield from _credentials(provider, kept, question)
        try:
            answer = self._ask(provider, question)
        except CredentialsError as error:
            yield error
            return
        self._keep(provider, question, answer)
        yield from _credentials(provider, answer, question)

    def _ask(self, provider: Provider, question: CredentialQuestion) -> ProviderAnswer:
        program = str(self._directory / provider.name)
        raw = run_program(
            [program, *provider.arguments],
            dump_request(question, api_version=provider.api_version),
            timeout_seconds=self._timeout_seconds,
            environment=dict(provider.environment),
        )
        return parse_answer(raw, source=program)

    def _recall(self, provider: Provider, question: CredentialQuestion) -> ProviderAnswer | None:
        with self._lock:
            for kind in CacheKeyType:
                until, answer = self._answers.get(
                    (provider, _cache_name(kind, question)), (0.0, None)
                )
                if answer is not None and self._clock() < until:
                    return answer
        return None

    def _keep(
        self, provider: Provider, question: CredentialQuestion, answer: ProviderAnswer
    ) -> None:
        seconds = answer.cache_seconds
        seconds = provider.default_cache_seconds if seconds is None else seconds
        key = provider, _cache_name(answer.cache_key_type, question)
        with self._lock:
            self._answers[key] = self._clock() + seconds, answer
            self._answers.move_to_end(key)
            while len(self._answers) > MAX_ANSWERS:
                self._answers.popitem(last=False)

    def _read(self) -> bytes:
        try:
            with self.config.open("rb") as file:
                return file.read(MAX_CONFIG_BYTES + 1)
        except OSError as error:
            raise CredentialsError(self.config, error.strerror or "cannot be read") from None


def _credentials(
    provider: Provider, answer: ProviderAnswer, question: CredentialQuestion
) -> Iterator[Credentials]:
    chosen = answer.choose(question)
    if chosen is not None:
        pattern, username, password = chosen
        yield Credentials(username, password, origin=f"provider {provider.name}, {pattern}")


def _cache_name(kind: CacheKeyType, question: CredentialQuestion) -> str:
    match kind:
        case CacheKeyType.IMAGE:
            return f"image {question.host}/{question.repository.name}"
        case CacheKeyType.REGISTRY:
            return f"registry {question.host}"
        case CacheKeyType.GLOBAL:
            return "global"
