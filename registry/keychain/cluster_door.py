"""How Kubernetes' API server is reached at this moment: what a kubeconfig names is read, and its program asked. Blocks.

That happens for every request, so that certificates and tokens are renewed in place.
"""

import base64
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from registry.errors import CredentialsError
from registry.keychain.credential_settings import KubernetesSettings
from registry.keychain.exec_credentials import ExecCredential, ExecCredentials
from registry.keychain.kubeconfig import (
    MAX_CONFIG_BYTES,
    ClusterAccess,
    Pem,
    in_cluster_access,
    kubeconfig_files,
    parse_kubeconfig,
)
from registry.proxies import ProxySettings
from registry.tls import TlsFiles
from registry.transfers import Route


@dataclass(frozen=True, slots=True)
class Door:
    """How a cluster's API is reached at this moment.

    Attributes:
        server: its URL, for people.
        url: the URL that is asked.
        route: how to get there.
        headers: what is sent with each request.
    """

    server: str
    url: str
    route: Route
    headers: Mapping[str, str] = field(repr=False)


def open_door(settings: KubernetesSettings, plugins: ExecCredentials) -> Door:
    """Reads what the kubeconfig names, and asks its program. Blocks.

    Raises:
        CredentialsError: it cannot be used.
    """
    access = read_access(settings.kubeconfig)
    answer = ExecCredential() if access.plugin is None else plugins.get(access.plugin)
    headers = {"User-Agent": "pyestargz", "Accept": "application/json"}
    authorization = _authorization(access, answer)
    if authorization:
        headers["Authorization"] = authorization
    url, connect_to = access.server, ""
    if access.server_name:
        url, connect_to = _under_another_name(access.server, access.server_name)
        headers["Host"] = urlsplit(access.server).netloc
    proxy = access.proxy
    if proxy is None:
        proxy = ProxySettings.from_environment(os.environ).proxy_for(access.server) or ""
    tls = _tls(access, answer)
    route = Route(tls=tls, verify=access.verify, proxy=proxy, connect_to=connect_to)
    return Door(access.server, url, route, headers)


def read_access(kubeconfig: Path | None) -> ClusterAccess:
    """Reads a kubeconfig; without one, those that kubectl reads; where there is none, what a pod is told.

    Raises:
        CredentialsError: there is none, or it cannot be used.
    """
    files = (kubeconfig,) if kubeconfig else kubeconfig_files(os.environ, user=os.geteuid())
    found = [(path, raw) for path in files if (raw := _read_config(path)) is not None]
    if found:
        return parse_kubeconfig(found)
    in_cluster = None if kubeconfig else in_cluster_access(os.environ)
    if in_cluster is None:
        raise CredentialsError(":".join(map(str, files)), "there is no such kubeconfig yet")
    return in_cluster


def _read_config(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_CONFIG_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise CredentialsError(path, error.strerror or "cannot be read") from None


def _read(path: Path) -> bytes:
    content = _read_config(path)
    if content is None:
        raise CredentialsError(path, "there is no such file")
    return content


def _under_another_name(server: str, name: str) -> tuple[str, str]:
    """The URL by which a server is asked, and proves the name in it; and the host and port where it is."""
    parts = urlsplit(server)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    where = parts.netloc if parts.port else f"{parts.netloc}:{port}"
    return urlunsplit(parts._replace(netloc=f"{name}:{port}")), where


def _authorization(access: ClusterAccess, answer: ExecCredential) -> str:
    token = access.token or answer.token
    if isinstance(token, Path):
        token = _read(token).decode("utf-8", "replace").strip()
    if token:
        # A token that is no word would become another header.
        if not token.isascii() or not token.isprintable() or " " in token:
            raise CredentialsError(access.source, "the token is none")
        return f"Bearer {token}"
    if access.login is not None:
        return f"Basic {base64.b64encode(':'.join(access.login).encode()).decode()}"
    return ""


def _tls(access: ClusterAccess, answer: ExecCredential) -> TlsFiles:
    authorities = _content(access.authorities)
    certificate = _content(access.certificate) or answer.certificate
    key = _content(access.key) or answer.key
    if bool(certificate) != bool(key):
        raise CredentialsError(access.source, "it has a client certificate or a key, and not both")
    return TlsFiles(
        authorities, certificate or None, key or None, trusts_machine=access.authorities is None
    )


def _content(pem: Pem | None) -> bytes:
    return _read(pem) if isinstance(pem, Path) else pem or b""
