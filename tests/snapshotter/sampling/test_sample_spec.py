import json
from pathlib import Path
from typing import Any

import pytest

from snapshotter.sampling.sample_spec import (
    Process,
    RunOptions,
    SampleSpecError,
    Surroundings,
    User,
    find_user,
    make_spec,
    plan_process,
)

_PASSWD = "root:x:0:0::/:/bin/sh\nbroken\napp:x:1000:100::/:/bin/sh\nodd:x:4294967295:0::/:\n"
_GROUP = "root:x:0:\nusers:x:100:\nextra:x:7:other,app\nmore:x:8:apple\n"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _config(**settings: Any) -> bytes:
    return json.dumps({"architecture": "amd64", "config": settings}).encode()


def test_the_image_says_what_runs() -> None:
    config = _config(
        Entrypoint=["e"], Cmd=["c"], Env=["A=1", "PATH=/bin"], WorkingDir="/w", User="u"
    )
    assert plan_process(config, RunOptions()) == Process(
        ("e", "c"), ("PATH=/bin", "A=1"), "/w", "u"
    )


def test_the_user_says_it_otherwise() -> None:
    config = _config(Entrypoint=["e"], Cmd=["c"], Env=["A=1", "B=1"], WorkingDir="/w", User="u")
    options = RunOptions(command=("d",), env=("B=2",), cwd="/x", user="v")
    expected = Process(("e", "d"), (_PATH, "A=1", "B=2"), "/x", "v")
    assert plan_process(config, options) == expected


def test_another_entry_point_does_without_the_command() -> None:
    config = _config(Entrypoint=["e"], Cmd=["c"])
    assert plan_process(config, RunOptions(entrypoint=("f",))).args == ("f",)
    assert plan_process(config, RunOptions(entrypoint=(), command=("d",))).args == ("d",)


@pytest.mark.parametrize("config", [b"{", b'{"config": null}', b'{"config": {"Cmd": 1}}', b"{}"])
def test_an_image_that_does_not_say_what_runs(config: bytes) -> None:
    with pytest.raises(SampleSpecError):
        plan_process(config, RunOptions())


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("root", User(0, 0)),
        ("app", User(1000, 100, (7,))),
        ("1000", User(1000, 100, (7,))),
        ("1001", User(1001, 0)),
        ("app:extra", User(1000, 7)),
        ("1001:1002", User(1001, 1002)),
        ("app:", User(1000, 100, (7,))),
    ],
)
def test_users(text: str, user: User) -> None:
    assert find_user(text, passwd=_PASSWD, group=_GROUP) == user


@pytest.mark.parametrize(
    "text", ["nobody", "app:nogroup", "-1", "4294967295", "odd", "9" * 5000, ""]
)
def test_users_that_are_not_there(text: str) -> None:
    with pytest.raises(SampleSpecError):
        find_user(text, passwd=_PASSWD, group=_GROUP)


def _default() -> dict[str, Any]:
    return {
        "ociVersion": "1.0.2",
        "process": {"cwd": "/", "noNewPrivileges": True},
        "root": {"path": "rootfs", "readonly": True},
        "mounts": [{"destination": "/proc"}],
        "linux": {"namespaces": [{"type": "pid"}, {"type": "network"}]},
    }


def _spec(*, host_network: bool) -> dict[str, Any]:
    surroundings = Surroundings(
        rootfs=Path("/r"), cgroup="/n/x", host_network=host_network, host_files=(Path("/etc/h"),)
    )
    process = Process(("a", "b"), ("A=1",), "/w", "ignored")
    raw = make_spec(json.dumps(_default()).encode(), process, User(1, 2, (3,)), surroundings)
    spec: dict[str, Any] = json.loads(raw)
    return spec


def test_a_container_is_the_default_with_another_process() -> None:
    expected = _default()
    expected["process"] |= {"args": ["a", "b"], "env": ["A=1"], "cwd": "/w", "terminal": False}
    expected["process"]["user"] = {"uid": 1, "gid": 2, "additionalGids": [3]}
    expected["root"] = {"path": "/r"}
    expected["linux"]["cgroupsPath"] = "/n/x"
    assert _spec(host_network=False) == expected


def test_a_container_in_the_network_of_the_host() -> None:
    spec = _spec(host_network=True)
    assert spec["linux"]["namespaces"] == [{"type": "pid"}]
    assert spec["mounts"][1]["destination"] == spec["mounts"][1]["source"] == "/etc/h"


@pytest.mark.parametrize("default", [b"", b"[]", b"{}", b'{"process": {}, "linux": 1}'])
def test_a_default_that_cannot_be_understood(default: bytes) -> None:
    with pytest.raises(SampleSpecError):
        make_spec(
            default,
            Process(("a",), (), "/", ""),
            User(0, 0),
            Surroundings(rootfs=Path("/"), cgroup=""),
        )
