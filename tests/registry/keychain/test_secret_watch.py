"""Secrets of a fake API server, over real HTTP, as they come and go, and as the server does."""

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from registry.errors import CredentialsError
from registry.keychain.credential_settings import CredentialSettings, KubernetesSettings
from registry.keychain.credentials import CredentialQuestion, Credentials
from registry.keychain.kubernetes_secrets import KubernetesSecrets, SecretName, SecretType
from registry.keychain.secret_watch import SecretWatch, WatchPace
from registry.reference import Repository
from tests.fakes.api_server import FakeApiServer
from tests.registry.kubeconfigs import write_kubeconfig

_QUESTION = CredentialQuestion("a.io", Repository("a.io", "app"))
_PACE = WatchPace(least_pause_seconds=0.001, most_pause_seconds=0.01)


class _Secrets(KubernetesSecrets):
    """Tells when something changed."""

    def __init__(self) -> None:
        super().__init__(first_list_seconds=20)
        self._news = trio.Event()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()

    def replace(self, *arguments, **keywords):
        super().replace(*arguments, **keywords)
        self._tell()

    def put(self, name: SecretName, kind: SecretType, content: bytes) -> None:
        super().put(name, kind, content)
        self._tell()

    def forget(self, name: SecretName, kind: SecretType) -> None:
        super().forget(name, kind)
        self._tell()

    def fail(self, kind: SecretType, failure: CredentialsError) -> None:
        super().fail(kind, failure)
        self._tell()

    def recover(self, kind: SecretType) -> None:
        super().recover(kind)
        self._tell()

    @property
    def users(self) -> list[str]:
        return [o.username for o in self._offered() if isinstance(o, Credentials)]

    @property
    def problems(self) -> list[str]:
        return [str(o) for o in self._offered() if isinstance(o, CredentialsError)]

    def _offered(self) -> list[Credentials | CredentialsError]:
        self._first_list_seconds = 0  # never wait in the loop that fills us
        return list(self.offers(_QUESTION))

    async def wait(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(20):
            while not condition():
                await self._news.wait()


@pytest.fixture
def server() -> Iterator[FakeApiServer]:
    with FakeApiServer() as server:
        yield server


@pytest.fixture
def kubeconfig(server: FakeApiServer, tmp_path: Path) -> Path:
    return write_kubeconfig(tmp_path / "kubeconfig", server.url)


@asynccontextmanager
async def _watching(kubeconfig: Path) -> AsyncIterator[_Secrets]:
    secrets = _Secrets()
    async with SecretWatch(secrets, _PACE) as watch:
        watch.use(CredentialSettings(kubernetes=KubernetesSettings(kubeconfig)))
        yield secrets


def _login(user: str) -> bytes:
    return json.dumps({"auths": {"a.io": {"username": user, "password": "x"}}}).encode()


def _is_watch(query: dict[str, str]) -> bool:
    return "watch" in query


def _is_list(query: dict[str, str]) -> bool:
    return "watch" not in query


async def _wait_asked(
    server: FakeApiServer, condition: Callable[[dict[str, str]], bool], count: int
) -> None:
    await trio.to_thread.run_sync(lambda: server.wait_asked(condition, count=count))


async def test_secrets_are_listed_and_followed(server, kubeconfig):
    server.put("a/one", _login("one"))
    server.put("b/old", json.dumps({"a.io": {"auth": "b2xkOng="}}).encode(), kind="dockercfg")
    server.put("b/other", b"{}", kind="basic-auth")
    async with _watching(kubeconfig) as secrets:
        await secrets.wait(lambda: secrets.users == ["one", "old"])
        server.put("c/two", _login("two"))
        await secrets.wait(lambda: secrets.users == ["one", "old", "two"])
        server.put("a/one", _login("changed"))
        await secrets.wait(lambda: secrets.users == ["changed", "old", "two"])
        server.delete("b/old")
        await secrets.wait(lambda: secrets.users == ["changed", "two"])
        lists = [query for query in server.asked if _is_list(query)]
        assert {query["resourceVersion"] for query in lists} == {"0"}
        assert len(lists) == 2


async def test_long_lists_come_in_pages(server, kubeconfig):
    for number in range(600):
        server.put(f"n/{number:03}", _login(str(number)))
    async with _watching(kubeconfig) as secrets:
        await secrets.wait(lambda: len(secrets.users) == 600)
    pages = [query for query in server.asked if _is_list(query)]
    assert [query.get("continue") for query in pages if "json" in query["fieldSelector"]] == [
        None,
        "500",
    ]


async def test_a_watch_that_breaks_off_goes_on_from_where_it_was(server, kubeconfig):
    async with _watching(kubeconfig) as secrets:
        await _wait_asked(server, _is_watch, 2)
        server.bookmark()
        server.hang_up()
        server.put("a/one", _login("one"))
        await secrets.wait(lambda: secrets.users == ["one"])
    assert sum(map(_is_list, server.asked)) == 2
    assert {int(query["resourceVersion"]) for query in server.asked if _is_watch(query)} <= {10, 11}


async def test_a_version_that_is_too_old_makes_it_list_again(server, kubeconfig):
    server.put("a/one", _login("one"))
    async with _watching(kubeconfig) as secrets:
        await _wait_asked(server, _is_watch, 2)
        server.refuse(503, verb="watch")
        server.hang_up()
        await secrets.wait(lambda: len(secrets.problems) == 2)
        server.delete("a/one")  # which nobody is told
        server.put("a/two", _login("two"))
        server.compact()
        server.bookmark()
        server.refuse(None)
        await secrets.wait(lambda: secrets.users == ["two"])
        await secrets.wait(lambda: not secrets.problems)
    again = [query for query in server.asked if _is_list(query)][2:]
    assert again
    assert not any("resourceVersion" in query for query in again)


async def test_what_is_forbidden_is_told_once_and_what_to_do(server, kubeconfig, caplog):
    server.refuse(403)
    with caplog.at_level(logging.WARNING):
        async with _watching(kubeconfig) as secrets:
            await _wait_asked(server, _is_list, 8)
            assert len(secrets.problems) == 2
            server.refuse(None)
            server.put("a/one", _login("one"))
            await secrets.wait(lambda: secrets.users == ["one"] and not secrets.problems)
    assert len(caplog.records) == 2
    text = caplog.records[0].fields["error"]
    assert server.url in text
    assert "403" in text
    assert "let its user 'list' and 'watch' secrets" in text


async def test_what_is_known_holds_while_the_server_is_away(server, kubeconfig):
    server.put("a/one", _login("one"))
    async with _watching(kubeconfig) as secrets:
        await secrets.wait(lambda: secrets.users == ["one"])
        write_kubeconfig(kubeconfig, "http://127.0.0.1:1")
        server.hang_up()
        await secrets.wait(lambda: len(secrets.problems) == 2)
        assert secrets.users == ["one"]


async def test_a_kubeconfig_may_come_later(server, tmp_path):
    server.put("a/one", _login("one"))
    path = tmp_path / "later"
    async with _watching(path) as secrets:
        await secrets.wait(lambda: len(secrets.problems) == 2)
        assert "there is no such kubeconfig yet" in secrets.problems[0]
        write_kubeconfig(path, server.url)
        await secrets.wait(lambda: secrets.users == ["one"])


async def test_who_wants_credentials_waits_for_the_first_list(server, kubeconfig):
    server.put("a/one", _login("one"))
    async with _watching(kubeconfig) as secrets:
        offers = await trio.to_thread.run_sync(lambda: list(secrets.offers(_QUESTION)))
        assert offers == [Credentials("one", "x")]


async def test_other_settings_take_effect_and_none_forget_everything(server, kubeconfig, tmp_path):
    server.put("a/one", _login("one"))
    secrets = _Secrets()
    async with SecretWatch(secrets, _PACE) as watch:
        watch.use(CredentialSettings())
        watch.use(CredentialSettings(kubernetes=KubernetesSettings(kubeconfig)))
        await secrets.wait(lambda: secrets.users == ["one"])
        asked = len(server.asked)
        watch.use(CredentialSettings(kubernetes=KubernetesSettings(kubeconfig)))
        assert "kubeconfig" in repr(watch)
        watch.use(CredentialSettings(kubernetes=KubernetesSettings(tmp_path / "none")))
        await secrets.wait(lambda: len(secrets.problems) == 2)
        assert secrets.users == []
        watch.use(CredentialSettings())
        assert (secrets.users, secrets.problems) == ([], [])
        assert len(server.asked) <= asked + 2  # the watches that were about to begin


@pytest.mark.parametrize("broken", [b"\xff", b'{"auths": 1}'], ids=["bytes", "json"])
async def test_a_broken_secret_is_told_by_its_name(server, kubeconfig, broken):
    server.put("a/broken", broken)
    async with _watching(kubeconfig) as secrets:
        await secrets.wait(lambda: bool(secrets.problems))
        (problem,) = secrets.problems
        assert "secret a/broken" in problem
