"""A private registry whose password the client has, and the daemon must find for itself."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import FETCH_WHAT_IS_READ, PRIVATE, Node
from tests.e2e.containerd import Containerd
from tests.e2e.cri import Cri
from tests.e2e.proto import cri_pb2 as cri_messages
from tests.e2e.published_image import PublishedImage
from tests.e2e.snapshotter_process import Snapshotter
from tests.fakes.api_server import FakeApiServer
from tests.registry.kubeconfigs import write_kubeconfig
from tests.registry.scripts import write_script

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.fuse,
    pytest.mark.registry,
    pytest.mark.timeout(300),
]

_USER, _PASSWORD = PRIVATE
_KUBECONFIG = """\
[kubeconfig_keychain]
enable_keychain = true
kubeconfig_path = "{path}"
"""


@dataclass(frozen=True, slots=True)
class _Home:
    """Where the daemon finds its user's files.

    Attributes:
        directory: docker's.
        host: the private registry.
        api_server: Kubernetes'.
    """

    directory: Path
    host: str
    api_server: FakeApiServer

    def log_in(self, config: dict[str, object]) -> str:
        (self.directory / "config.json").write_text(json.dumps(config))
        return ""


def _docker_login(home: _Home) -> str:
    return home.log_in({"auths": {home.host: {"username": _USER, "password": _PASSWORD}}})


def _credential_helper(home: _Home) -> str:
    answer = json.dumps({"Username": _USER, "Secret": _PASSWORD})
    write_script(home.directory / "docker-credential-test", f"cat >/dev/null; echo '{answer}'")
    return home.log_in({"credHelpers": {home.host: "test"}})


def _kubernetes_secret(home: _Home) -> str:
    login = {"auths": {home.host: {"username": _USER, "password": _PASSWORD}}}
    home.api_server.put("team/pull", json.dumps(login).encode())
    kubeconfig = write_kubeconfig(home.directory / "kubeconfig", home.api_server.url)
    return _KUBECONFIG.format(path=kubeconfig)


def _pull_by_ctr_remote(node: Node, name: str) -> str:
    login = ("--plain-http", "--user", f"{_USER}:{_PASSWORD}")
    node.ctr.remote("images", "rpull", *login, name)
    return node.ctr.run(name, ["python3", "-c", "print(1)"], snapshotter="stargz")


def _pull_by_cri(node: Node, name: str) -> str:
    """containerd is asked itself, and not the image service that we are: nobody tells the daemon the password."""
    node.cri.pull(name, auth=cri_messages.AuthConfig(username=_USER, password=_PASSWORD))
    container = node.cri.run_container(node.cri.run_pod(), name, ["sleep", "1000"])
    return node.cri.exec(container, ["python3", "-c", "print(1)"]).stdout


@pytest.fixture
def home(private_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Home]:
    directory = tmp_path / "home"
    directory.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(directory))
    monkeypatch.setenv("PATH", str(directory), prepend=":")
    with FakeApiServer() as server:
        yield _Home(directory, private_name.partition("/")[0], server)


@pytest.mark.parametrize(
    ("log_in", "pull"),
    [
        (_docker_login, _pull_by_ctr_remote),
        (_credential_helper, _pull_by_cri),
        (_kubernetes_secret, _pull_by_cri),
    ],
    ids=["docker's file", "a credential helper", "a secret of Kubernetes"],
)
def test_the_daemon_finds_the_password(
    home: _Home,
    private_name: str,
    lazy_name: str,
    pause_name: str,
    log_in: Callable[[_Home], str],
    pull: Callable[[Node, str], str],
) -> None:
    with (
        Snapshotter(FETCH_WHAT_IS_READ + log_in(home)) as snapshotter,
        Containerd(
            snapshotters={"stargz": snapshotter.socket},
            cri_snapshotter="stargz",
            sandbox_image=pause_name,
        ) as containerd,
        Cri(containerd.socket) as cri,
    ):
        node = Node(containerd, snapshotter, cri)
        assert pull(node, private_name) == "1\n"
        layers = set(PublishedImage(lazy_name).layer_digests)
        assert layers.isdisjoint(node.ctr.content_digests() | node.pod_ctr.content_digests())
        assert _PASSWORD not in "\n".join([*snapshotter.fs_log(), *snapshotter.process.lines()])
