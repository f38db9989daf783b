"""A daemon that is root of a user namespace only: lazy layers through FUSE, hidden files stay hidden."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.digest import Digest
from snapshotter.labels import TARGET, TOC_DIGEST
from tests.fs.fs_server import PushedLayer
from tests.fs.layers_by_hand import HandmadeBlob, entry
from tests.real_registry import RealRegistry

pytestmark = [pytest.mark.fuse, pytest.mark.registry]

# The maps of the namespace are written from outside, before anything runs in it.
_BEGIN = 'echo in; read -r begin; exec "$@"'
_SOME_USERS = "0 0 65536\n"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[RealRegistry]:
    with RealRegistry(tmp_path) as registry:
        yield registry


def _push(registry: RealRegistry, blob: HandmadeBlob) -> dict[str, str]:
    """Labels that containerd would send for the layer."""
    toc_digest = blob.finish()
    layer = PushedLayer(bytes(blob.data), toc_digest, registry, registry.host)
    return {
        TARGET: str(Digest.of(str(layer.digest).encode())),
        TOC_DIGEST: str(layer.toc_digest),
        "containerd.io/snapshot/cri.image-ref": layer.reference,
        "containerd.io/snapshot/cri.layer-digest": str(layer.digest),
    }


def _run_rootless(*command: str | Path) -> str:
    unshare = ["unshare", "--user", "--mount", "--propagation", "private", "--"]
    with subprocess.Popen(
        [*unshare, "sh", "-c", _BEGIN, "sh", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{name}").write_text(_SOME_USERS)
        out, err = process.communicate("begin\n", timeout=50)
    assert process.returncode == 0, err
    return out


def test_lazy_layers_in_a_user_namespace(registry: RealRegistry, tmp_path: Path) -> None:
    lower = HandmadeBlob()
    lower.add_file("etc/hello", b"hello", mode=0o644)
    lower.add_file("etc/gone", b"gone", mode=0o644)
    lower.add_file("replaced/old", b"old", mode=0o644)
    upper = HandmadeBlob()
    upper.add_file("replaced/new", b"new", mode=0o644)
    upper.entries += [entry("replaced/.wh..wh..opq"), entry("etc/.wh.gone")]
    layers = [_push(registry, blob) for blob in (lower, upper)]
    home = tmp_path / "home"
    home.mkdir()
    program = [sys.executable, "-m", "tests.snapshotter.rootless_program"]
    answer = json.loads(_run_rootless(*program, home, json.dumps(layers)))
    assert "userxattr" in answer["options"]
    assert answer["shown"] == {
        "etc": "",
        "etc/hello": "hello",
        "etc/new": "new",
        "replaced": "",
        "replaced/new": "new",
    }
