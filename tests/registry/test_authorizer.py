import base64
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from registry.authorizer import Access, Authorizer, Scope
from registry.client import RegistryClient
from registry.counters import Counters
from registry.digest import Digest
from registry.endpoints import Endpoint
from registry.errors import (
    BadResponseError,
    RegistryError,
    UnauthorizedError,
)
from registry.keychain.credential_chain import CredentialChain
from registry.keychain.credentials import Credentials
from registry.reference import Repository
from registry.transport import Response, Transport
from tests.fakes.registry import Fault
from tests.registry.asking import DATA, read_all_tails, read_tail, repository_of


def _log_in(path: Path, host: str, user: str) -> None:
    auth = base64.b64encode(user.encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": auth}}}))


async def test_another_repository_of_a_known_host_goes_straight_for_its_token(fake, quick):
    fake.require_token = True
    digests = [fake.add_blob(name, DATA) for name in ("first", "second")]
    async with RegistryClient(quick) as client:
        await read_tail(client, repository_of(fake, "first"), digests[0])
        await read_tail(client, repository_of(fake, "second"), digests[1])
    assert [(record.kind, record.status) for record in fake.requests] == [
        ("blob", 401),
        ("token", 200),
        ("blob", 206),
        ("token", 200),
        ("blob", 206),
    ]


async def test_a_revoked_token_is_renewed_once_by_one(fake, quick):
    fake.require_token = True
    digests = [fake.add_blob("some/image", bytes([number]) * 100) for number in range(5)]
    async with RegistryClient(quick) as client:
        await read_all_tails(client, repository_of(fake), digests)
        fake.revoke_tokens()
        await read_all_tails(client, repository_of(fake), digests)
        assert client.statistics().tokens_fetched == 2


async def test_a_token_is_renewed_before_it_expires(fake, quick, mock_clock):
    fake.require_token = True
    fake.state.token_lifetime_seconds = 100
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await read_tail(client, repository_of(fake), digest)
        for seconds, tokens in ((79, 1), (2, 2)):
            mock_clock.jump(seconds)
            await read_tail(client, repository_of(fake), digest)
            assert fake.count("token") == tokens
    assert [record.status for record in fake.requests].count(401) == 1


async def test_a_token_that_cannot_be_renewed_is_used_until_it_expires(fake, quick, mock_clock):
    fake.require_token = True
    fake.state.token_lifetime_seconds = 100
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(dataclasses.replace(quick, attempts=1)) as client:
        await read_tail(client, repository_of(fake), digest)
        fake.state.token_statuses["GET"] = 503
        for seconds, asked in ((85, 2), (4, 2), (4, 3)):
            mock_clock.jump(seconds)
            await read_tail(client, repository_of(fake), digest)
            assert fake.count("token") == asked
        mock_clock.jump(3)
        with pytest.raises(RegistryError, match="503"):
            await read_tail(client, repository_of(fake), digest)


async def test_while_one_renews_the_others_go_on(fake, quick, mock_clock):
    fake.require_token = True
    fake.state.token_lifetime_seconds = 100
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await read_tail(client, repository_of(fake), digest)
        mock_clock.jump(85)
        fake.faults.inject(Fault.STALLED, kinds=("token",))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_tail, client, repository_of(fake), digest)
            await trio.to_thread.run_sync(fake.faults.wait_stalled)
            await read_tail(client, repository_of(fake), digest)
            assert fake.count("blob") == 3
            fake.faults.clear()
    assert (fake.count("token"), fake.count("blob")) == (2, 4)


async def test_a_registry_may_want_other_scopes_than_its_paths_say(fake, quick):
    fake.require_token = True
    fake.state.challenge = '{bearer},scope="repository:library/mirrored:pull"'
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await read_tail(client, repository_of(fake), digest)
    assert fake.state.scopes_asked == [
        ["repository:some/image:pull", "repository:library/mirrored:pull"]
    ]


async def test_credentials_that_change_are_used_with_the_next_token(fake, quick, docker_config):
    fake.require_token = True
    fake.state.users = {"user": "old"}
    _log_in(docker_config, fake.host, "user:old")
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await read_tail(client, repository_of(fake), digest)
        fake.state.users = {"user": "new"}
        _log_in(docker_config, fake.host, "user:new")
        fake.revoke_tokens()
        await read_tail(client, repository_of(fake), digest)
    assert fake.count("token") == 2


async def test_the_first_to_ask_for_a_token_may_give_up(fake, quick):
    fake.require_token = True
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.STALLED, kinds=("token",))
    scope = trio.CancelScope()
    async with RegistryClient(quick) as client, trio.open_nursery() as nursery:
        nursery.start_soon(_read_tail_in, scope, client, repository_of(fake), digest)
        await trio.to_thread.run_sync(fake.faults.wait_stalled)
        nursery.start_soon(read_tail, client, repository_of(fake), digest)
        await trio.testing.wait_all_tasks_blocked()
        assert fake.count("token") == 0
        scope.cancel()
    assert scope.cancelled_caught
    assert client.statistics().tokens_fetched == 1


async def _read_tail_in(scope: trio.CancelScope, *question: Any) -> None:
    with scope:
        await read_tail(*question)


async def test_waiters_share_the_token_and_its_failure(fake, quick):
    fake.require_token = True
    fake.state.token_answer = b"garbage"
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.STALLED, kinds=("token",))
    failures: list[str] = []
    settings = dataclasses.replace(quick, attempts=1)
    async with RegistryClient(settings) as client, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(_note_failure, failures, client, repository_of(fake), digest)
        await trio.to_thread.run_sync(fake.faults.wait_stalled)
        await trio.testing.wait_all_tasks_blocked()
        fake.faults.clear()
    assert fake.count("token") == 1
    assert len(failures) == 3
    assert all("no token in the answer" in failure for failure in failures)


async def _note_failure(failures: list[str], *question: Any) -> None:
    try:
        await read_tail(*question)
    except BadResponseError as error:
        failures.append(str(error))


async def test_a_token_server_that_fails_is_asked_again(fake, quick):
    fake.require_token = True
    digest = fake.add_blob("some/image", DATA)
    fake.faults.inject(Fault.BUSY, kinds=("token",))
    async with RegistryClient(quick) as client:
        await read_tail(client, repository_of(fake), digest)
        assert client.statistics().retries == 1


async def test_credentials_do_not_leave_tls_behind(quick):
    counters = Counters()
    async with Transport(quick, counters) as transport:
        authorizer = Authorizer(transport, CredentialChain(()), counters)
        endpoint = Endpoint("host.io", "https://host.io/v2/")
        scope = Scope(endpoint, Repository("host.io", "a"), Access.PULL)
        authorizer.learn(scope, _Refusal('Bearer realm="http://host.io/token"'))
        with pytest.raises(BadResponseError, match="not behind TLS"):
            await authorizer.authorization(scope)
    assert counters.requests == 0


class _Refusal(Response):
    """An answer that was never sent."""

    def __init__(self, challenge: str) -> None:
        self._challenge = challenge

    @property
    def status(self) -> int:
        return 401

    def header(self, name: str) -> str | None:
        return self._challenge


async def test_basic_credentials(fake, quick, docker_config):
    fake.state.require_login = True
    fake.state.users = {"user": "secret"}
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        with pytest.raises(UnauthorizedError, match=f"docker login {fake.host}"):
            await read_tail(client, repository_of(fake), digest)
        _log_in(docker_config, fake.host, "user:secret")
        await read_tail(client, repository_of(fake), digest)


async def test_credentials_go_to_the_token_server(fake, quick, docker_config):
    fake.require_token = True
    fake.state.users = {"user": "secret"}
    _log_in(docker_config, fake.host, "user:secret")
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await read_tail(client, repository_of(fake), digest)
    by_kind = {record.kind: record.authorization for record in fake.requests}
    assert by_kind["token"].startswith("Basic ")
    assert by_kind["blob"].startswith("Bearer ")


async def test_wrong_credentials_are_refused_without_saying_them(fake, quick, docker_config):
    fake.require_token = True
    _log_in(docker_config, fake.host, "user:hunter2")
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        with pytest.raises(UnauthorizedError, match="token server") as caught:
            await read_tail(client, repository_of(fake), digest)
    assert "hunter2" not in f"{caught.value}{caught.value!r}{vars(caught.value)}"


async def test_what_could_not_be_asked_for_credentials_is_told_where_access_is_refused(
    fake, quick, docker_config
):
    fake.require_token = True
    fake.state.users = {"user": "secret"}
    docker_config.write_text("{")
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        await read_tail(client, repository_of(fake), digest)  # everybody may read
    fake.require_token, fake.state.require_login = False, True
    async with RegistryClient(quick) as client:
        with pytest.raises(UnauthorizedError, match="repair or remove it") as caught:
            await read_tail(client, repository_of(fake), digest)
    assert [str(docker_config)] == [error.source for error in caught.value.passed_over]


@pytest.mark.parametrize("scheme", ["basic", "bearer"])
async def test_refused_credentials_make_room_for_those_of_the_next_source(
    fake, quick, docker_config, scheme
):
    fake.require_token, fake.state.require_login = scheme == "bearer", scheme == "basic"
    fake.state.users = {"user": "new"}
    _log_in(docker_config, fake.host, "user:new")
    digest = fake.add_blob("some/image", DATA)
    async with RegistryClient(quick) as client:
        # As CRI passed it half a day ago.
        client.passed_credentials.put(repository_of(fake), Credentials("user", "old"))
        await read_tail(client, repository_of(fake), digest)
        before = len(fake.requests)
        await read_tail(client, repository_of(fake), digest)
        assert len(fake.requests) == before + 1


@pytest.mark.parametrize("realm", ["ftp://127.0.0.1/", "http://user@127.0.0.1/", "nonsense"])
async def test_a_strange_realm_is_not_asked(fake, quick, realm):
    fake.require_token = True
    fake.state.realm = realm
    async with RegistryClient(quick) as client:
        with pytest.raises(BadResponseError):
            await client.blob_exists(repository_of(fake), Digest.of(b""))
    assert fake.count("token") == 0


async def test_waiters_of_a_host_that_does_not_answer_go_on_their_own(fake, quick):
    fake.faults.inject(Fault.HUNG_UP)
    digests = [fake.add_blob("some/image", bytes([number]) * 100) for number in range(5)]
    async with RegistryClient(quick) as client:
        await read_all_tails(client, repository_of(fake), digests)
    assert fake.count("blob") == 6
