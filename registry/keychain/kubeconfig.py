"""Kubernetes' kubeconfig files: which API server, whom it is trusted by, and who we are to it. Without I/O.

Source: kubernetes.io, "Organizing Cluster Access Using kubeconfig Files"; ``client.config`` v1. A client library would bring a second
HTTP stack into the process that serves containers (17 to 29 MiB, and asyncio), for one list and one watch.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
import yaml

from registry.errors import CredentialsError
from registry.hosts import resolve_url

MAX_CONFIG_BYTES: Final = 1 << 20
EXEC_VERSIONS: Final = frozenset(
    f"client.authentication.k8s.io/{version}" for version in ("v1", "v1beta1")
)
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")

Pem = Path | bytes
"""A file, or what would be in it."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A program that is asked who we are.

    Attributes:
        command: its name, looked for on PATH, or its path.
        arguments: its command line.
        environment: variables besides ours.
        api_version: of the protocol it speaks.
        install_hint: what to tell who does not have it.
        cluster: what it is told of the cluster, if it wants that.
    """

    command: str
    api_version: str
    arguments: tuple[str, ...] = field(default=(), repr=False)
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    install_hint: str = ""
    cluster: Mapping[str, Any] | None = field(default=None, repr=False, hash=False)


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """One cluster, and who we are to it; never printed.

    Attributes:
        source: the file that says so.
        server: the API's URL, without a slash at the end.
        authorities: who may vouch for the server; None: those of this machine.
        verify: whether the server must prove who it is.
        server_name: the name it proves; empty: the one in its URL.
        proxy: the URL of a proxy to go through; None: what the environment says.
        certificate: what we show the server.
        key: the certificate's.
        token: sent with each request; of a token's file, the content counts at that moment.
        login: a user's name and password.
        plugin: who knows the rest.
    """

    source: str
    server: str
    authorities: Pem | None = field(default=None, repr=False)
    verify: bool = True
    server_name: str = ""
    proxy: str | None = field(default=None, repr=False)
    certificate: Pem | None = field(default=None, repr=False)
    key: Pem | None = field(default=None, repr=False)
    token: Path | str = field(default="", repr=False)
    login: tuple[str, str] | None = field(default=None, repr=False)
    plugin: ExecPlugin | None = None


class _Cluster(msgspec.Struct, rename="kebab"):
    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""


class _Variable(msgspec.Struct):
    name: str
    value: str = ""


class _Exec(msgspec.Struct, rename="camel"):
    command: str
    api_version: str = ""
    args: list[str] | None = None
    env: list[_Variable] | None = None
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


class _User(msgspec.Struct, rename="kebab"):
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    username: str = ""
    password: str = ""
    exec: _Exec | None = None
    auth_provider: Any = None
    impersonate: str = msgspec.field(default="", name="as")

    def __repr__(self) -> str:
        return "<_User>"


class _Context(msgspec.Struct):
    cluster: str = ""
    user: str = ""


class _NamedCluster(msgspec.Struct):
    name: str
    cluster: _Cluster


class _NamedUser(msgspec.Struct):
    name: str
    user: _User


class _NamedContext(msgspec.Struct):
    name: str
    context: _Context


class _Document(msgspec.Struct, rename="kebab"):
    current_context: str | None = None
    clusters: list[_NamedCluster] | None = None
    users: list[_NamedUser] | None = None
    contexts: list[_NamedContext] | None = None


def parse_kubeconfig(files: Sequence[tuple[Path, bytes]]) -> ClusterAccess:
    """The cluster of the current context, of files that are read as one: what an earlier one says counts.

    Relative paths are below the directory of the file that has them.

    Raises:
        CredentialsError: a file is none, or the context cannot be used; the error names which, and quotes no secret.
    """
    current = ""
    contexts: dict[str, _Context] = {}
    clusters: dict[str, tuple[Path, _Cluster]] = {}
    users: dict[str, tuple[Path, _User]] = {}
    for path, raw in files:
        document = _parse_document(path, raw)
        current = current or document.current_context or ""
        for context in document.contexts or ():
            contexts.setdefault(context.name, context.context)
        for cluster in document.clusters or ():
            clusters.setdefault(cluster.name, (path, cluster.cluster))
        for user in document.users or ():
            users.setdefault(user.name, (path, user.user))
    source = ":".join(str(path) for path, _ in files)
    if not current:
        raise CredentialsError(source, "it has no current-context")
    chosen = _named(contexts, current, "context", source)
    where, cluster_entry = _named(clusters, chosen.cluster, "cluster", source)
    access = _with_cluster(where, cluster_entry)
    if not chosen.user:
        return access
    where, user_entry = _named(users, chosen.user, "user", source)
    return _with_user(access, where, user_entry)


def in_cluster_access(environment: Mapping[str, str]) -> ClusterAccess | None:
    """The cluster whose pod we are; None outside of one."""
    host = environment.get("KUBERNETES_SERVICE_HOST")
    port = environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        return None
    return ClusterAccess(
        source=str(SERVICE_ACCOUNT),
        server=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}",
        authorities=SERVICE_ACCOUNT / "ca.crt",
        token=SERVICE_ACCOUNT / "token",
    )


def kubeconfig_files(environment: Mapping[str, str], *, user: int) -> tuple[Path, ...]:
    """Where kubectl looks: the files of ``$KUBECONFIG``, or the user's own."""
    named = tuple(Path(name) for name in environment.get("KUBECONFIG", "").split(":") if name)
    home = environment.get("HOME") or ("/root" if user == 0 else "/")
    return named or (Path(home) / ".kube" / "config",)


def _parse_document(path: Path, raw: bytes) -> _Document:
    if len(raw) > MAX_CONFIG_BYTES:
        raise CredentialsError(path, "it is too large")
    try:
        return msgspec.convert(yaml.safe_load(raw) or {}, _Document)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise CredentialsError(path, "it is not YAML") from None
    except msgspec.ValidationError as error:
        raise CredentialsError(path, str(error)) from None


def _named(entries: Mapping[str, _T], name: str, what: str, source: str) -> _T:
    if name not in entries:
        raise CredentialsError(source, f"it has no {what} {name!r}")
    return entries[name]


def _with_cluster(path: Path, cluster: _Cluster) -> ClusterAccess:
    server = cluster.server.rstrip("/")
    if resolve_url(server, server) is None:
        raise CredentialsError(path, f"server {cluster.server!r} is not an http or https URL")
    authority = cluster.certificate_authority, cluster.certificate_authority_data
    return ClusterAccess(
        source=str(path),
        server=server,
        authorities=_pem(path, "certificate-authority", *authority),
        verify=not cluster.insecure_skip_tls_verify,
        server_name=cluster.tls_server_name,
        proxy=cluster.proxy_url or None,
    )


def _with_user(access: ClusterAccess, path: Path, user: _User) -> ClusterAccess:
    if user.auth_provider is not None:
        raise CredentialsError(path, "auth-provider is no part of Kubernetes any more: use exec")
    if user.impersonate:
        raise CredentialsError(path, "a user 'as' another one is not supported here")
    certificate = user.client_certificate, user.client_certificate_data
    key = user.client_key, user.client_key_data
    return ClusterAccess(
        source=str(path),
        server=access.server,
        authorities=access.authorities,
        verify=access.verify,
        server_name=access.server_name,
        proxy=access.proxy,
        certificate=_pem(path, "client-certificate", *certificate),
        key=_pem(path, "client-key", *key),
        token=path.parent / user.token_file if user.token_file else user.token,
        login=(user.username, user.password) if user.username else None,
        plugin=None if user.exec is None else _plugin(path, user.exec, access),
    )


def _plugin(path: Path, entry: _Exec, access: ClusterAccess) -> ExecPlugin:
    if entry.api_version not in EXEC_VERSIONS:
        known = ", ".join(sorted(EXEC_VERSIONS))
        raise CredentialsError(path, f"exec.apiVersion {entry.api_version!r} is none of {known}")
    if entry.interactive_mode == "Always":
        raise CredentialsError(path, "exec.interactiveMode is Always, and nobody is here to ask")
    command = entry.command
    if "/" in command:  # relative to the file, unlike a bare name
        command = str(path.parent / command)
    return ExecPlugin(
        command,
        entry.api_version,
        tuple(entry.args or ()),
        tuple((variable.name, variable.value) for variable in entry.env or ()),
        entry.install_hint,
        _cluster_info(access) if entry.provide_cluster_info else None,
    )


def _cluster_info(access: ClusterAccess) -> Mapping[str, Any]:
    """The cluster as plugins are told of it; who asks reads an authority's file."""
    info: dict[str, Any] = {"server": access.server}
    if access.server_name:
        info["tls-server-name"] = access.server_name
    if not access.verify:
        info["insecure-skip-tls-verify"] = True
    if access.proxy:
        info["proxy-url"] = access.proxy
    if access.authorities is not None:
        info["certificate-authority-data"] = access.authorities
    return info


def _pem(path: Path, name: str, file: str, data: str) -> Pem | None:
    if data:  # as kubectl: it counts more than a file
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError):
            raise CredentialsError(path, f"{name}-data is not base64") from None
    return path.parent / file if file else None
