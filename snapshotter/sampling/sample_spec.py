"""What the container of a sample run is: containerd's default, with what the image says, with what the user says. No I/O."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from snapshotter.errors import CommandError

_PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ID: Final = re.compile(r"[0-9]{1,10}")
_MAX_ID: Final = (1 << 32) - 2


class SampleSpecError(CommandError):
    """A container that cannot be described."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the sample cannot run: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """What the user wants otherwise than the image; None and nothing are what the image says.

    Attributes:
        entrypoint: what is run; the image's command is then ignored.
        command: its arguments, or what is run if there is no entry point.
        env: variables, ``NAME=VALUE``.
        cwd: the working directory.
        user: ``USER[:GROUP]``, names or numbers.
        host_network: whether it shares the machine's network, rather than having none.
    """

    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    cwd: str = ""
    user: str = ""
    host_network: bool = False


@dataclass(frozen=True, slots=True)
class User:
    """Who runs in a container, by number."""

    uid: int
    gid: int
    additional_gids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Process:
    """What runs in a container."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    cwd: str
    user: str


class _Settings(msgspec.Struct):
    entrypoint: list[str] | None = msgspec.field(default=None, name="Entrypoint")
    cmd: list[str] | None = msgspec.field(default=None, name="Cmd")
    env: list[str] | None = msgspec.field(default=None, name="Env")
    cwd: str | None = msgspec.field(default=None, name="WorkingDir")
    user: str | None = msgspec.field(default=None, name="User")


class _Config(msgspec.Struct):
    config: _Settings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a container runs.

    Attributes:
        rootfs: its root directory.
        cgroup: the path of its control group.
        host_network: whether it shares the machine's network.
        host_files: files of the machine that it then sees, too, at the same place.
    """

    rootfs: Path
    cgroup: str
    host_network: bool = False
    host_files: tuple[Path, ...] = ()


def plan_process(image_config: bytes, options: RunOptions) -> Process:
    """What to run, from an image's config and what the user wants.

    Raises:
        SampleSpecError: the config cannot be read, or neither says what to run.
    """
    try:
        settings = msgspec.json.decode(image_config, type=_Config).config or _Settings()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SampleSpecError(f"the image's config: {error}") from None
    if options.entrypoint is not None:
        args = (*options.entrypoint, *options.command)
    else:
        args = (*(settings.entrypoint or ()), *(options.command or settings.cmd or ()))
    if not args:
        raise SampleSpecError("the image does not say what to run; say it after --")
    variables = [_PATH, *(settings.env or ()), *options.env]
    env = {variable.partition("=")[0]: variable for variable in variables}
    cwd = options.cwd or settings.cwd or "/"
    return Process(args, tuple(env.values()), cwd, options.user or settings.user or "0:0")


def find_user(text: str, *, passwd: str, group: str) -> User:
    """The numbers behind ``USER[:GROUP]``.

    Args:
        text: names or numbers.
        passwd: the image's ``/etc/passwd``.
        group: its ``/etc/group``.

    Raises:
        SampleSpecError: the image has no such user or group.
    """
    user, colon, own_group = text.partition(":")
    known = next((row for row in _rows(passwd, 4) if user in (row[0], row[2])), None)
    uid = _number(user if known is None else known[2], f"user {user!r}")
    if colon and own_group:
        row = next((row for row in _rows(group, 3) if own_group in (row[0], row[2])), None)
        return User(uid, _number(own_group if row is None else row[2], f"group {own_group!r}"))
    if known is None:
        return User(uid, 0)
    members = (row for row in _rows(group, 4) if known[0] in row[3].split(","))
    additional = tuple(_number(row[2], f"group {row[0]!r}") for row in members)
    return User(uid, _number(known[3], f"the group of {user!r}"), additional)


def make_spec(default: bytes, process: Process, user: User, surroundings: Surroundings) -> bytes:
    """The description of a container as OCI runtimes read it.

    Args:
        default: what containerd would run (``ctr oci spec``).
        process: what to run.
        user: who runs it.
        surroundings: where it runs.

    Raises:
        SampleSpecError: the default cannot be understood.
    """
    try:
        spec = msgspec.json.decode(default, type=dict[str, Any])
        spec["process"] |= {
            "args": process.args,
            "env": process.env,
            "cwd": process.cwd,
            "user": _user_document(user),
            "terminal": False,
        }
        spec["root"] = {"path": str(surroundings.rootfs)}
        spec["linux"]["cgroupsPath"] = surroundings.cgroup
        if surroundings.host_network:
            _share_network(spec, surroundings.host_files)
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise SampleSpecError(f"containerd's default description: {error!r}") from None
    return msgspec.json.encode(spec)


def _user_document(user: User) -> Mapping[str, Any]:
    return {"uid": user.uid, "gid": user.gid, "additionalGids": user.additional_gids}


def _share_network(spec: dict[str, Any], files: Sequence[Path]) -> None:
    namespaces = spec["linux"]["namespaces"]
    spec["linux"]["namespaces"] = [one for one in namespaces if one["type"] != "network"]
    for file in files:
        place = {"destination": str(file), "source": str(file), "type": "bind"}
        spec["mounts"].append(place | {"options": ["rbind", "ro"]})


def _rows(text: str, columns: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        row = line.strip().split(":")
        if len(row) >= columns:
            yield row


def _number(text: str, what: str) -> int:
    if not _ID.fullmatch(text) or int(text) > _MAX_ID:
        raise SampleSpecError(f"the image has no {what}")
    return int(text)
