"""Image names, as users write them and as containerd hands them over.

The grammar is the one all container tools share: ``[HOST/]PATH[:TAG][@DIGEST]``, where the first component is a
host only if it looks like one (a dot, a colon, upper case, or ``localhost``), and everything else lives on ``docker.io``.
"""

import re
from dataclasses import dataclass, replace
from typing import Self

from registry.digest import Digest
from registry.errors import InvalidDigestError, InvalidReferenceError

DEFAULT_HOST = "docker.io"
DEFAULT_TAG = "latest"
MAX_REFERENCE_CHARACTERS = 1024
MAX_REPOSITORY_CHARACTERS = 255

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def is_tag(text: str) -> bool:
    """Whether a text may be used as a tag; what is one, is safe in a URL path."""
    return _TAG.fullmatch(text) is not None


def is_host(text: str) -> bool:
    """Whether a text is a host, with or without a port."""
    return _HOST.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class Repository:
    """Where blobs are asked from: a host (with its port) and a path on it; always well-formed.

    Raises:
        InvalidReferenceError: host or name break the grammar.
    """

    host: str
    name: str

    def __post_init__(self) -> None:
        if not is_host(self.host):
            raise InvalidReferenceError(str(self), "the host is malformed")
        if len(self.name) > MAX_REPOSITORY_CHARACTERS:
            raise InvalidReferenceError(str(self), "the repository is too long")
        if not _REPOSITORY.fullmatch(self.name):
            reason = "repositories are lower case letters, digits and separators"
            raise InvalidReferenceError(str(self), reason)

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """One image's full name. With a digest, the digest decides and the tag is a comment."""

    host: str
    repository: str
    tag: str | None = None
    digest: Digest | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads a name, short (``python:3.7``) or full (``docker.io/library/python:3.7``).

        Without tag and digest the tag is ``latest``.

        Raises:
            InvalidReferenceError: the text breaks the grammar; the error says where.
        """
        if len(text) > MAX_REFERENCE_CHARACTERS:
            raise InvalidReferenceError(text, "it is too long")
        rest, digest = _split_digest(text)
        rest, tag = _split_tag(text, rest)
        host, name = _split_host(rest)
        try:
            repository = Repository(host, name)
        except InvalidReferenceError as error:
            raise InvalidReferenceError(text, error.reason) from None
        if tag is None and digest is None:
            tag = DEFAULT_TAG
        return cls(repository.host, repository.name, tag, digest)

    @property
    def repository_name(self) -> Repository:
        """Where this image's blobs are asked from."""
        return Repository(self.host, self.repository)

    def sibling(self, tag_suffix: str) -> Self:
        """The image whose tag is this one's with something behind it.

        Raises:
            InvalidReferenceError: there is no tag, or it becomes too long.
        """
        tag = f"{self.tag or ''}{tag_suffix}"
        if self.tag is None or not is_tag(tag):
            raise InvalidReferenceError(f"{self}{tag_suffix}", "that image is found by its tag")
        return replace(self, tag=tag, digest=None)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.host}/{self.repository}{tag}{digest}"


def _split_digest(text: str) -> tuple[str, Digest | None]:
    name, separator, digest = text.partition("@")
    if not separator:
        return text, None
    try:
        return name, Digest.parse(digest)
    except InvalidDigestError:
        raise InvalidReferenceError(text, "what follows @ is not a digest") from None


def _split_tag(text: str, name: str) -> tuple[str, str | None]:
    # A colon before the last slash belongs to the host's port.
    head, slash, last = name.rpartition("/")
    component, separator, tag = last.partition(":")
    if not separator:
        return name, None
    if not is_tag(tag):
        raise InvalidReferenceError(text, "the tag is malformed")
    return head + slash + component, tag


def _split_host(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not _looks_like_host(first):
        first, rest = DEFAULT_HOST, name
    if first == "index.docker.io":
        first = DEFAULT_HOST
    if first == DEFAULT_HOST and "/" not in rest:
        rest = f"library/{rest}"
    return first, rest


def _looks_like_host(component: str) -> bool:
    return (
        "." in component
        or ":" in component
        or component == "localhost"
        or component != component.lower()
    )
