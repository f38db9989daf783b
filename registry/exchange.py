"""One question to a registry, with all that may happen before the answer: a token, redirects, another endpoint, a second attempt.

``open`` is one attempt: each endpoint of the registry is asked until one gives a good answer. ``retrying`` repeats attempts that
failed with something temporary.
"""

import contextlib
import logging
import math
import random
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, TypeVar

import trio

from registry.auth import choose_challenge, parse_challenges
from registry.authorizer import MAX_REFUSALS, Access, Authorizer, Scope
from registry.bandwidth import Bandwidth
from registry.counters import Counters
from registry.digest import Digest
from registry.endpoint_health import EndpointHealth, EndpointState, join_failures
from registry.endpoints import Capability, Endpoint
from registry.errors import BadResponseError, RegistryError, UnauthorizedError, UnreachableError
from registry.host_lookup import EndpointSource
from registry.hosts import resolve_url
from registry.pace import Pace
from registry.redirects import MAX_HOPS, MAX_REMEMBERED, REDIRECT_STATUSES, RedirectMemory
from registry.reference import Repository
from registry.retry import pause_before_retry
from registry.settings import ClientSettings
from registry.signed_urls import seconds_left
from registry.transport import BodySource, Request, Response, Transport

_UNAUTHORIZED: Final = 401
_EXPIRY_MARGIN: Final = 1.0

_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A question to a repository's registry.

    Attributes:
        method: the HTTP method.
        repository: whom to ask, and what a token must cover.
        path: what to ask for, below the API's base; or a whole URL that the registry handed out.
        headers: what to add to the request.
        content: the request's body.
        access: what the token must allow.
        needs: what an endpoint that is only read from must be capable of.
        expected: the statuses of a good answer.
        blob: the blob asked for, where the redirect to it is worth remembering.
        mounted_from: another repository of the registry that a token must allow to pull from.
    """

    method: str
    repository: Repository
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | BodySource | None = None
    access: Access = Access.PULL
    needs: Capability = Capability.PULL
    expected: frozenset[int] = frozenset({200})
    blob: Digest | None = None
    mounted_from: Repository | None = None

    @property
    def subject(self) -> tuple[Repository, str]:
        """What an endpoint may lack, or have wrongly, though it is sound."""
        return self.repository, self.path

    def scope(self, endpoint: Endpoint) -> Scope:
        """What a token for this must cover."""
        return Scope(endpoint, self.repository, self.access, self.mounted_from)


@dataclass(frozen=True, slots=True)
class Knock:
    """How a server answers who asks for nothing in particular.

    Attributes:
        status: the HTTP status.
        scheme: how it wants to be asked: ``bearer``, ``basic``, or empty.
        realm: where its tokens come from.
        proxy: the host of the proxy that the question went through; empty without.
    """

    status: int
    scheme: str
    realm: str
    proxy: str


def blob_path(repository: Repository, digest: Digest) -> str:
    """Where a blob is, below an API's base."""
    return f"{repository.name}/blobs/{digest}"


class Exchange:
    """Asks registries; shared by everything a client does."""

    def __init__(
        self,
        settings: ClientSettings,
        hosts: EndpointSource,
        transport: Transport,
        authorizer: Authorizer,
        counters: Counters,
    ) -> None:
        self.settings = settings
        self._hosts = hosts
        self._health = EndpointHealth()
        self._transport = transport
        self._authorizer = authorizer
        self._counters = counters
        self._redirects = RedirectMemory()
        limit = settings.max_bytes_per_second
        self._bandwidth = None if limit is None else Bandwidth(limit)
        self._givers: OrderedDict[tuple[Repository, Digest], Endpoint] = OrderedDict()

    def use(self, settings: ClientSettings) -> None:
        """What holds from the next attempt on."""
        self.settings = settings

    def new_pace(self) -> Pace:
        """The pace that a body must keep."""
        return Pace(least_bytes=self.settings.pace_bytes, seconds=self.settings.pace_seconds)

    async def throttle(self, size: int) -> None:
        """Waits until more may be taken from the network, after so many bytes."""
        if self._bandwidth is not None:
            await trio.sleep(self._bandwidth.wait_seconds(size, now=trio.current_time()))

    async def retrying(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Awaits an attempt, again after temporary failures; the last failure is raised."""
        began, failures = trio.current_time(), 0
        while True:
            try:
                return await attempt()
            except RegistryError as error:
                failures += 1
                await self.pause(error, failures=failures, since=began)

    async def pause(self, error: RegistryError, *, failures: int, since: float) -> None:
        """Waits as long as the next attempt should wait, after some failures since a time.

        Raises:
            RegistryError: the error itself, where there should be no further attempt.
        """
        pause = pause_before_retry(
            error,
            failures=failures,
            elapsed_seconds=trio.current_time() - since,
            settings=self.settings,
            jitter=random.random(),  # noqa: S311 - spreads clients, hides nothing
        )
        if pause is None:
            raise error
        self._counters.retries += 1
        await trio.sleep(pause)

    @contextlib.asynccontextmanager
    async def open(self, call: Call) -> AsyncIterator[Response]:
        """Asks one endpoint after the other, and holds the first good answer open; it has one of the expected statuses.

        Raises:
            HostsError: how the registry is reached is configured wrongly.
            RegistryError: there was no answer, or no good one.
        """
        endpoint, response = await self._ask_any(call)
        try:
            self._remember(call, endpoint, response)
            yield response
        except RegistryError as error:
            # What the reader of the body found out: the next attempt asks the registry itself, or another endpoint.
            self._forget(call, endpoint, response.url)
            await self._set_back(call, endpoint, error)
            raise
        finally:
            response.close()

    async def distrust(self, repository: Repository, blob: Digest) -> bool:
        """See ``RegistryClient.distrust``."""
        giver = self._givers.pop((repository, blob), None)
        if giver is None:
            return False
        self._redirects.forget_blob((giver, repository, blob))
        subject = repository, blob_path(repository, blob)
        error = BadResponseError(giver.host, detail="bytes with another digest")
        self._health.failed(giver, error, subject=subject, now=trio.current_time())
        known = await self._hosts.endpoints(repository.host)
        return any(
            Capability.PULL in endpoint.capabilities for endpoint in known if endpoint != giver
        )

    async def knock(self, endpoint: Endpoint) -> Knock:
        """Asks a server for nothing in particular, without credentials.

        Raises:
            RegistryError: there is no answer.
        """
        url = endpoint.base_url
        request = Request("GET", url, endpoint.headers_for(url), connection=endpoint.connection)
        response = await self._transport.send(request)
        await response.discard()
        header = response.header("WWW-Authenticate") or ""
        challenge = choose_challenge(parse_challenges(header))
        realm = "" if challenge is None else challenge.parameters.get("realm", "")
        scheme = "" if challenge is None else challenge.scheme
        return Knock(response.status, scheme, realm, self._transport.proxy_host(url))

    def endpoint_states(self) -> tuple[EndpointState, ...]:
        """The endpoints that failed lately and are asked last for a while."""
        return self._health.states(now=trio.current_time())

    async def _ask_any(self, call: Call) -> tuple[Endpoint, Response]:
        sound, set_back = self._health.order(
            await self._candidates(call), subject=call.subject, now=trio.current_time()
        )
        failures: dict[Endpoint, RegistryError] = {}
        for endpoint in (*sound, *set_back):
            try:
                response = await self._ask_one(call, endpoint)
            except RegistryError as error:
                await self._set_back(call, endpoint, error)
                failures[endpoint] = error
            else:
                if self._health.answered(endpoint):
                    fields = {"registry": endpoint.registry, "endpoint": str(endpoint)}
                    _log.info("registry endpoint answers again", extra={"fields": fields})
                return endpoint, response
        raise join_failures(failures, known_to_fail=frozenset(set_back))

    async def _candidates(self, call: Call) -> tuple[Endpoint, ...]:
        """Who may be asked. What is pushed must end up in one place: the first endpoint that takes it."""
        known = await self._hosts.endpoints(call.repository.host)
        needs = Capability.PUSH if call.access is Access.PUSH else call.needs
        capable = tuple(endpoint for endpoint in known if needs in endpoint.capabilities)
        if not capable:
            detail = f"no endpoint of it may be used to {needs.value}: see its hosts.toml"
            raise UnreachableError(call.repository.host, detail=detail, retryable=False)
        return capable[:1] if needs is Capability.PUSH else capable

    async def _set_back(self, call: Call, endpoint: Endpoint, error: RegistryError) -> None:
        now = trio.current_time()
        if self._health.failed(endpoint, error, subject=call.subject, now=now):
            fields = {
                "registry": endpoint.registry,
                "endpoint": str(endpoint),
                "error": error.reason(),
            }
            # Where there is no other, the error itself says all; where there is, nothing else would.
            has_others = len(await self._candidates(call)) > 1
            level = logging.WARNING if has_others else logging.INFO
            _log.log(level, "registry endpoint failed", extra={"fields": fields})

    async def _ask_one(self, call: Call, endpoint: Endpoint) -> Response:
        response = await self._ask(call, endpoint)
        if response.status in call.expected:
            return response
        try:
            raise await self._refusal(endpoint, response)
        finally:
            self._forget(call, endpoint, response.url)
            response.close()

    async def _ask(self, call: Call, endpoint: Endpoint) -> Response:
        target = call.blob and self._redirects.recall(
            (endpoint, call.repository, call.blob), now=trio.current_time()
        )
        if target:
            response = await self._ask_target(call, endpoint, target)
            if response is not None:
                return response
        response = await self._ask_registry(call, endpoint)
        hops = 0
        while response.status in REDIRECT_STATUSES and call.method in {"GET", "HEAD"}:
            hops += 1
            response = await self._follow(call, endpoint, response, hops=hops)
        return response

    async def _ask_target(self, call: Call, endpoint: Endpoint, target: str) -> Response | None:
        """Asks where the blob was found the last time; None where it must be looked for anew."""
        try:
            header = await self._authorization(call, endpoint, target)
            response = await self._send(call, endpoint, target, authorization=header)
        except UnreachableError:
            self._forget(call, endpoint, target)
            return None
        if response.status in call.expected:
            return response
        self._forget(call, endpoint, target)
        await response.discard()
        return None

    async def _ask_registry(self, call: Call, endpoint: Endpoint) -> Response:
        url = call.path if "://" in call.path else endpoint.url(call.path)
        async with self._authorizer.knocking(endpoint):
            header = await self._authorization(call, endpoint, url)
            response = await self._send(call, endpoint, url, authorization=header)
            if not endpoint.owns(url):
                return response
            self._authorizer.learn(call.scope(endpoint), response)
        for _ in range(MAX_REFUSALS):
            if response.status != _UNAUTHORIZED:
                break
            await response.discard()
            self._authorizer.reject(call.scope(endpoint), header)
            renewed = await self._authorization(call, endpoint, url)
            if renewed is None or renewed == header:
                break
            header = renewed
            response = await self._send(call, endpoint, url, authorization=header)
        return response

    async def _follow(
        self, call: Call, endpoint: Endpoint, response: Response, *, hops: int
    ) -> Response:
        await response.discard()
        target = resolve_url(response.url, response.header("Location") or "")
        if target is None or hops > MAX_HOPS:
            detail = "too many redirects" if target else "a redirect to nowhere"
            raise BadResponseError(response.host, url=response.url, detail=detail)
        header = await self._authorization(call, endpoint, target)
        return await self._send(call, endpoint, target, authorization=header)

    async def _send(
        self, call: Call, endpoint: Endpoint, url: str, *, authorization: str | None = None
    ) -> Response:
        headers = {**endpoint.headers_for(url), **call.headers}
        if authorization is not None:
            headers["Authorization"] = authorization
        connection = endpoint.connection_to(url)
        return await self._transport.send(
            Request(call.method, url, headers, call.content, connection)
        )

    async def _authorization(self, call: Call, endpoint: Endpoint, url: str) -> str | None:
        """Authorization is for the endpoint alone, wherever it sends us."""
        if not endpoint.owns(url):
            return None
        return await self._authorizer.authorization(call.scope(endpoint))

    async def _refusal(self, endpoint: Endpoint, response: Response) -> RegistryError:
        redirected = not endpoint.owns(response.url)
        host = response.host if redirected else endpoint.login
        error = await response.refusal(host=host, redirected=redirected)
        if not isinstance(error, UnauthorizedError):
            return error
        return error.without(self._authorizer.problems(endpoint))

    def _remember(self, call: Call, endpoint: Endpoint, response: Response) -> None:
        if call.blob is None:
            return
        self._givers[call.repository, call.blob] = endpoint
        while len(self._givers) > MAX_REMEMBERED:
            self._givers.popitem(last=False)
        blob, now = (endpoint, call.repository, call.blob), trio.current_time()
        if response.url in {endpoint.url(call.path), self._redirects.recall(blob, now=now)}:
            return
        left = seconds_left(response.url, now=datetime.now(UTC))
        good_until = math.inf if left is None else now + left - _EXPIRY_MARGIN
        self._redirects.remember(blob, response.url, good_until=good_until)

    def _forget(self, call: Call, endpoint: Endpoint, url: str) -> None:
        if call.blob is not None:
            self._redirects.forget((endpoint, call.repository, call.blob), url)
