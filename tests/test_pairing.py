"""Every module has a test file of its own, and every test file of a package a module."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "estargz",
    "fs",
    "fs/erofs",
    "registry",
    "registry/keychain",
    "snapshotter",
    "snapshotter/commands",
    "snapshotter/sampling",
    "snapshotter/store",
)
# Tested through what it is part of.
WITHOUT = {
    (
        "fs",
        "fault_matrix",
    ),  # fetching and the operations above it, against a registry that misbehaves
    ("fs", "killed_server"),  # the whole server, and what it leaves on the disk
    ("fs", "many_layers"),  # the whole server, in a loop
    ("fs", "mounted_layers"),  # the whole server, behind a real mount
    ("registry", "auth_matrix"),  # auth, authorizer and tokens, over the wire
    ("registry", "real_registry"),  # the whole client, against a real registry
    ("registry", "real_storage"),  # idem, whose blobs are elsewhere
    ("snapshotter", "conformance"),  # the model and the whole daemon, as containerd examines them
    ("snapshotter", "rootless"),  # the whole daemon, as root of a user namespace
    ("snapshotter", "lives"),  # the whole daemon, killed and restarted
    ("fs", "power_loss"),  # the store and layer directories, on a disk that forgets
    ("fs", "power_loss_mounted"),  # idem, and what the kernel mounts then
    ("registry", "mirrors"),  # the whole client, with several endpoints
    ("registry", "real_proxy"),  # the whole client, behind a proxy
    ("registry", "real_mirror"),  # the whole client, with a pull-through mirror
    ("registry", "real_tls"),  # the whole client, against real registries behind TLS
    ("snapshotter", "layer_server"),  # a protocol; its implementations are tested
}


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_and_test_files_are_pairs(package: str) -> None:
    modules = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__"}
    tests = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / package).glob("test_*")}
    unpaired = {(package, name) for name in modules ^ tests}
    assert unpaired <= WITHOUT
