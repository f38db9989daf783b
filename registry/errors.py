"""Everything that can go wrong with content by digest, and what the user can do about it.

    ContentError
    ├── RegistryError            a registry answered with a failure
    │   ├── UnauthorizedError    it wants credentials, or other ones
    │   ├── NotFoundError        it has no such thing
    │   ├── RateLimitedError     it wants us to come back later
    │   ├── UnreachableError     it could not be talked to
    │   │   └── UntrustedError   it could not prove who it is
    │   └── BadResponseError     it answered, but not what was asked
    ├── CredentialsError         a source of credentials cannot be used
    │   └── ApiServerError       Kubernetes' API server does not tell its secrets
    ├── HostsError               how a registry is reached is configured wrongly
    ├── TlsFileError             a certificate or a key cannot be used
    ├── InvalidReferenceError    a name that is none
    ├── InvalidDigestError       a digest that is none
    ├── InvalidManifestError     a manifest that is none
    └── LayoutError              an OCI layout directory that cannot be used

``str(error)`` is one line for the user. Code asks the fields, never the text. What a registry says is
hostile: it is cut and stripped of control characters before it is kept.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import ClassVar

MAX_DETAIL_CHARACTERS = 300


def one_line(text: str) -> str:
    """The printable part of a text somebody else wrote, on one line and not longer than a line may be."""
    line = "".join(c if c.isprintable() else " " for c in text[: 4 * MAX_DETAIL_CHARACTERS])
    line = " ".join(line.split())
    if len(line) > MAX_DETAIL_CHARACTERS:
        return line[:MAX_DETAIL_CHARACTERS] + "…"
    return line


class ContentError(Exception):
    """Base of all errors of this package.

    Attributes:
        absent: whether it says that something is not there, and not that it could not be had.
    """

    absent: ClassVar[bool] = False


class RegistryError(ContentError):
    """A registry answered a request with a failure that has no class of its own.

    Attributes:
        host: the host that failed, with its port; after a redirect, the one redirected to.
        status: the HTTP status, or None when there was no answer.
        code: the registry's own error code (``MANIFEST_UNKNOWN``), or empty.
        detail: what the registry, or the network, said about it.
        url: what was asked for, without its query (which may hold a signature), or empty.
        retryable: whether the same request may well succeed a little later.
        retry_after_seconds: how long the registry asked us to wait, if it did.
        others: why the other endpoints of the same registry did not help.
        passed_over: sources of credentials that could not be asked, where credentials were wanted.
    """

    problem: ClassVar[str] = "failed at"
    advice: ClassVar[str] = "look at the registry's log, or ask who runs it"
    retryable_by_default: ClassVar[bool] = False

    def __init__(  # noqa: PLR0913 - all but the host are optional keywords
        self,
        host: str,
        *,
        status: int | None = None,
        code: str = "",
        detail: str = "",
        url: str = "",
        retryable: bool | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        self.host = host
        self.status = status
        self.code = one_line(code)
        self.detail = one_line(detail)
        self.url = url.partition("?")[0]
        self.retryable = self.retryable_by_default if retryable is None else retryable
        self.retry_after_seconds = retry_after_seconds
        self.others: tuple[RegistryError, ...] = ()
        self.passed_over: tuple[CredentialsError, ...] = ()
        super().__init__(host, status, self.code, self.detail)

    def __str__(self) -> str:
        what = f"registry {self.host} {self.problem}"
        mirrors = ", ".join(error.reason() for error in self.others)
        others = f"; its other endpoints failed too: {mirrors}" if mirrors else ""
        sources = "; ".join(str(error) for error in self.passed_over)
        notes = f"{others}; {sources}" if sources else others
        return (
            f"{what} {self._subject()}({self.said() or 'no details'}): {self.advice_text()}{notes}"
        )

    def reason(self) -> str:
        """Who failed, and what it said, in short."""
        said = self.said()
        return f"{self.host} ({said})" if said else self.host

    def said(self) -> str:
        """Status, code and detail, as far as there are any."""
        return " ".join(_filled([str(self.status or ""), self.code, self.detail]))

    def after(self, others: "tuple[RegistryError, ...]", *, retryable: bool) -> "RegistryError":
        """The same error, with what the other endpoints of the same registry said."""
        copy = self._copy(retryable=retryable)
        copy.others = others
        return copy

    def without(self, problems: "tuple[CredentialsError, ...]") -> "RegistryError":
        """The same error, with the sources of credentials that could not be asked."""
        copy = self._copy(retryable=self.retryable)
        copy.passed_over = problems
        return copy

    def _copy(self, *, retryable: bool) -> "RegistryError":
        copy = type(self)(
            self.host,
            status=self.status,
            code=self.code,
            detail=self.detail,
            url=self.url,
            retryable=retryable,
            retry_after_seconds=self.retry_after_seconds,
        )
        copy.others = self.others
        copy.passed_over = self.passed_over
        copy.__cause__ = self.__cause__
        return copy

    def _subject(self) -> str:
        return f"{self.url} " if self.url else ""

    def advice_text(self) -> str:
        """What the user can do next."""
        return self.advice


class UnauthorizedError(RegistryError):
    """The registry wants credentials, or refuses the ones it was given."""

    problem = "refused access to"

    def advice_text(self) -> str:
        """Where credentials are taken from."""
        return f"run `docker login {self.host}`, or check that the name is spelled right"


class NotFoundError(RegistryError):
    """The registry has no such manifest, blob or repository."""

    absent = True
    problem = "does not have"
    advice = "check the name and the tag"


class RateLimitedError(RegistryError):
    """The registry asked us to come back later."""

    problem = "limits our requests to"
    retryable_by_default = True

    def advice_text(self) -> str:
        """When to come back."""
        if self.retry_after_seconds is None:
            return "try again later, or log in for a higher limit"
        return f"try again in {self.retry_after_seconds:.0f} s, or log in for a higher limit"


class UnreachableError(RegistryError):
    """The registry could not be talked to: name, network, TLS or timeout."""

    problem = "cannot be reached for"
    advice = "check the host's name and that the registry runs"
    retryable_by_default = True


class UntrustedError(UnreachableError):
    """The host's TLS certificate is not signed by anyone this machine trusts, or not for that host."""

    problem = "cannot prove who it is for"
    advice = "name its CA in the host's hosts.toml, or trust it on this machine, or check the host's name"
    retryable_by_default = False


class BadResponseError(RegistryError):
    """The registry answered, but not what was asked: another range, a cut body, other bytes."""

    problem = "gave a wrong answer to"
    advice = "try again; if it stays, something between here and the registry alters responses"
    retryable_by_default = True


class CredentialsError(ContentError):
    """A source of credentials is there but cannot be used.

    Attributes:
        source: the file, program or secret.
        reason: why.
    """

    def __init__(self, source: Path | str, reason: str) -> None:
        self.source = one_line(str(source))
        self.reason = one_line(reason)
        super().__init__(self.source, self.reason)

    def __str__(self) -> str:
        return f"cannot take credentials from {self.source} ({self.reason}): {self.advice}"

    @property
    def advice(self) -> str:
        """What to do about it."""
        return "repair or remove it"


class ApiServerError(CredentialsError):
    """Kubernetes' API server refuses to tell Secrets, or cannot be reached.

    Attributes:
        status: the HTTP status, or None when there was none.
        unreachable: whether the network is to blame.
    """

    _ADVICE: ClassVar[Mapping[int | None, str]] = {
        401: "give its kubeconfig valid credentials",
        403: "let its user 'list' and 'watch' secrets in all namespaces, or set enable_keychain = false",
    }

    def __init__(
        self,
        server: str,
        reason: str,
        *,
        status: int | None = None,
        unreachable: bool = False,
    ) -> None:
        self.status = status
        self.unreachable = unreachable
        super().__init__(server, " ".join(_filled([str(status or ""), reason])))

    def __str__(self) -> str:
        return (
            f"image pull secrets cannot be read from {self.source} ({self.reason}): {self.advice}"
        )

    @property
    def advice(self) -> str:
        """What to do about it."""
        return self._ADVICE.get(self.status, "look whether it is up, and what its log says")


class HostsError(ContentError):
    """A file that says how registries are reached cannot be used.

    Attributes:
        path: the file.
        key: what in it is wrong, with dots between tables; empty where it is the whole file.
        reason: why.
    """

    def __init__(self, path: Path, key: str, reason: str) -> None:
        self.path = path
        self.key = one_line(key)
        self.reason = one_line(reason)
        super().__init__(path, self.key, self.reason)

    def __str__(self) -> str:
        where = f"{self.path}: {self.key}" if self.key else str(self.path)
        return f"registry hosts cannot be read from {where} ({self.reason}): repair the file"


class TlsFileError(ContentError):
    """A certificate or a key cannot be used.

    Attributes:
        path: the file.
        key: which setting names it: ``ca`` or ``client``.
        reason: why.
    """

    def __init__(self, path: Path, key: str, reason: str) -> None:
        self.path = path
        self.key = key
        self.reason = one_line(reason)
        super().__init__(path, key, self.reason)

    def __str__(self) -> str:
        return f"{self.path} cannot be used for TLS ({self.reason}): put a PEM file there"


class InvalidReferenceError(ContentError):
    """A text that does not name an image."""

    def __init__(self, text: str, reason: str) -> None:
        self.text = one_line(text)
        self.reason = one_line(reason)
        super().__init__(self.text, self.reason)

    def __str__(self) -> str:
        return f"{self.text!r} is not an image name ({self.reason}): write HOST/REPOSITORY:TAG"


class InvalidDigestError(ContentError):
    """A text that is not a digest."""

    def __init__(self, text: str) -> None:
        self.text = one_line(text)
        super().__init__(self.text)

    def __str__(self) -> str:
        return f"{self.text!r} is not a digest: write sha256: and 64 hexadecimal digits"


class InvalidManifestError(ContentError):
    """Bytes that are not the manifest or the index they should be."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = one_line(name)
        self.reason = one_line(reason)
        super().__init__(self.name, self.reason)

    def __str__(self) -> str:
        return f"manifest {self.name} cannot be used: {self.reason}"


class LayoutError(ContentError):
    """An OCI layout directory that cannot be read or written."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = one_line(reason)
        super().__init__(path, self.reason)

    def __str__(self) -> str:
        return f"OCI layout {self.path} cannot be used: {self.reason}"


def _filled(parts: Iterable[str]) -> list[str]:
    return [part for part in parts if part]
