"""What podman's helper passes reaches the registry's client."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry.keychain.credentials import Credentials, SecretKind
from registry.reference import Reference
from snapshotter.errors import FsServerError
from snapshotter.grpc_server import serving_alone
from snapshotter.pulled_credentials import PulledCredentials
from snapshotter.store.credentials import StoreController, pass_on, passed_credentials

NAME = "registry.test/team/app:1"
ANNAS = json.dumps({NAME: {"username": "anna", "password": "secret"}})


def test_passwords_and_tokens_are_understood() -> None:
    logins = {
        NAME: {"username": "anna", "password": "secret"},
        "registry.test/b": {"identityToken": "token", "username": "ignored"},
        "registry.test/c": {},
        "Not/An/Image": {"username": "anna", "password": "secret"},
    }
    assert list(passed_credentials(json.dumps(logins).encode())) == [
        PulledCredentials(Reference.parse(NAME), Credentials("anna", "secret")),
        PulledCredentials(
            Reference.parse("registry.test/b"), Credentials("", "token", SecretKind.IDENTITY_TOKEN)
        ),
    ]


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"a": 1}', b"\xff"])
def test_other_input_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's own
        list(passed_credentials(data))


class Learner:
    """Keeps what it is told, unless it fails."""

    def __init__(self) -> None:
        self.learnt: list[PulledCredentials] = []
        self.fails = False

    def __call__(self, passed: PulledCredentials) -> None:
        if self.fails:
            raise FsServerError("away")
        self.learnt.append(passed)


@pytest.fixture
def learner() -> Learner:
    return Learner()


@pytest.fixture
def socket(tmp_path: Path, learner: Learner) -> Iterator[Path]:
    with (
        ThreadPoolExecutor(2) as threads,
        serving_alone(tmp_path / "s", StoreController(learner), threads),
    ):
        yield tmp_path / "s"


def test_they_are_passed_on(socket: Path, learner: Learner) -> None:
    pass_on(ANNAS.encode(), socket)
    assert [passed.credentials.username for passed in learner.learnt] == ["anna"]
    with pytest.raises(FsServerError, match="not the JSON") as caught:
        pass_on(b'{"secret', socket)
    assert "secret" not in str(caught.value)
    learner.fails = True
    with pytest.raises(FsServerError, match="away"):
        pass_on(ANNAS.encode(), socket)


def test_the_helper_is_a_program(socket: Path, learner: Learner) -> None:
    helper = [sys.executable, "-c", "from snapshotter.store.credentials import main; main()"]
    for address, code in ((socket, 0), (socket.parent / "absent", 1)):
        done = subprocess.run(
            [*helper, str(address)], input=ANNAS, capture_output=True, text=True, check=False
        )
        refused = done.stderr.startswith("stargz-store-helper: nobody listens on")
        assert (done.returncode, refused) == (code, bool(code))
    assert len(learner.learnt) == 1
