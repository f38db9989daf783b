"""Where credentials are looked for, as far as it can be configured."""

from dataclasses import dataclass, field
from pathlib import Path

from registry.keychain.docker_config import Login


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """Where image pull secrets are read, by whoever watches them.

    Attributes:
        kubeconfig: the file that names the API server; None: where kubectl looks, or the service account of our pod.
        program_timeout_seconds: how long a program may take that is asked who we are.
    """

    kubeconfig: Path | None = None
    program_timeout_seconds: float = 10.0


@dataclass(frozen=True, slots=True)
class SealSettings:
    """How credentials that were passed are kept on disk.

    Attributes:
        key: the file of the key that seals them; made if it is not there.
        max_age_seconds: what was passed longer ago is forgotten.
    """

    key: Path
    max_age_seconds: float = 30 * 86400.0


@dataclass(frozen=True, slots=True)
class CredentialSettings:
    """Sources of credentials.

    Attributes:
        logins: entries of the snapshotter's own configuration, by host as docker writes keys; never printed.
        files: files like docker's ``config.json``, asked before those of this process's user.
        user_files: whether to ask also where docker, podman and the kubelet leave them for this process's user.
        provider_config: the kubelet's ``CredentialProviderConfig``, if any.
        provider_directory: where the programs are that it names.
        program_timeout_seconds: how long a program may take that is asked for credentials.
        kubernetes: where image pull secrets are read; None for nowhere.
    """

    logins: dict[str, Login] = field(default_factory=dict, repr=False)
    files: tuple[Path, ...] = ()
    user_files: bool = True
    provider_config: Path | None = None
    provider_directory: Path | None = None
    program_timeout_seconds: float = 10.0
    kubernetes: KubernetesSettings | None = None
