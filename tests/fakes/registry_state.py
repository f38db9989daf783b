"""What the fake registry holds, what it was asked, and what it does wrong on request. Safe from any thread."""

import enum
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from registry.digest import Digest


class Fault(enum.Enum):
    """One way to go wrong. Those of content happen where a blob's bytes are sent, the others before."""

    BUSY = enum.auto()  # 503
    RATE_LIMITED = enum.auto()  # 429
    BROKEN = enum.auto()  # 500, with a body that is not JSON
    TOO_LARGE = enum.auto()  # 413
    UNAUTHORIZED = enum.auto()  # 401, whatever the token; only where one is needed
    FORBIDDEN = enum.auto()  # 403
    MISSING = enum.auto()  # 404
    HUNG_UP = enum.auto()  # the connection is closed without an answer
    UPLOAD_CUT = enum.auto()  # half of an upload is read, and kept; then the connection is closed
    RANGE_REFUSED = enum.auto()  # 400 for a range
    RANGE_UNSATISFIABLE = enum.auto()  # 416 for a range
    RANGE_IGNORED = enum.auto()  # 200 and the whole blob for a range
    SUFFIX_IGNORED = enum.auto()  # the same, for suffix ranges only
    OTHER_RANGE = enum.auto()  # 206 with another range than asked for
    SHORT_BODY = enum.auto()  # content: half of the declared length, then the connection is closed
    OTHER_CONTENT_RANGE = enum.auto()  # content: what was asked for, but said to be something else
    RESET = enum.auto()  # content: half of it, then the connection is reset
    TRICKLE = enum.auto()  # content: half of it, then a byte now and then
    WRONG_BYTES = enum.auto()  # content: one byte is flipped
    STALLED = enum.auto()  # content: half of it, then silence; tokens: silence, then the token


_TRICKLE_SECONDS = 0.02
_TRICKLED_BYTES = 1000
CONTENT_FAULTS = frozenset(
    {
        Fault.OTHER_CONTENT_RANGE,
        Fault.RESET,
        Fault.SHORT_BODY,
        Fault.STALLED,
        Fault.TRICKLE,
        Fault.WRONG_BYTES,
    }
)


@dataclass(frozen=True, slots=True)
class Record:
    """One request that was answered.

    Attributes:
        kind: ``token``, ``manifest``, ``blob``, ``upload``, or ``cdn`` for blobs behind a redirect.
        method: the HTTP method.
        path: the path, without its query.
        range: the ``Range`` header, or empty.
        authorization: the ``Authorization`` header, or empty.
        grant: what a form to the token server asks by, or empty.
        status: what was answered; 0 where the connection was just closed.
        body_bytes: how many bytes of a body were sent.
        user_agent: who asked.
        namespace: the registry whose content is meant, as mirrors are told.
    """

    kind: str
    method: str
    path: str
    range: str = ""
    authorization: str = ""
    grant: str = ""
    status: int = 0
    body_bytes: int = 0
    user_agent: str = ""
    namespace: str = ""


@dataclass(slots=True)
class _Injected:
    fault: Fault
    kinds: frozenset[str]
    times: int
    after: int


class Faults:
    """What goes wrong next."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._injected: list[_Injected] = []
        self._released = threading.Event()
        self._stalled = threading.Event()
        self.retry_after: str | None = None

    def inject(
        self,
        fault: Fault,
        *,
        times: int = 1,
        after: int = 0,
        kinds: tuple[str, ...] = ("blob", "cdn"),
    ) -> None:
        """Lets a fault happen ``times`` times to requests of these kinds, after some that go well."""
        with self._lock:
            self._injected.append(_Injected(fault, frozenset(kinds), times, after))

    def clear(self) -> None:
        """Nothing goes wrong any more; what is stalled now ends."""
        with self._lock:
            self._injected.clear()
            self._released.set()
            self._released = threading.Event()

    def take(self, kind: str, candidates: frozenset[Fault]) -> Fault | None:
        """The fault to commit now, used up by asking."""
        with self._lock:
            for injected in self._injected:
                if injected.fault not in candidates or kind not in injected.kinds:
                    continue
                if injected.after:
                    injected.after -= 1
                elif injected.times:
                    injected.times -= 1
                    return injected.fault
        return None

    def wait_released(self) -> None:
        """Blocks until ``clear``, though not for ever."""
        with self._lock:
            released = self._released
        self._stalled.set()
        released.wait(30)

    def trickle(self, send_byte: Callable[[], None]) -> None:
        """Sends bytes slowly until ``clear``, though not for ever."""
        with self._lock:
            released = self._released
        for _ in range(_TRICKLED_BYTES):
            if released.wait(_TRICKLE_SECONDS):
                break
            send_byte()

    def wait_stalled(self) -> None:
        """Blocks until some request stalls."""
        assert self._stalled.wait(30), "nothing stalls"


@dataclass(slots=True)
class RegistryState:
    """Everything both of the fake's servers share."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    require_token: bool = False
    require_login: bool = False
    redirects: bool = False
    head_redirect_refused: bool = False
    signed_for: str = ""  # what URLs say about how long they are good
    realm: str | None = None
    token_answer: bytes | None = None
    token_statuses: dict[str, int] = field(default_factory=dict)
    gives_refresh_tokens: bool = False
    identity_tokens: set[str] = field(default_factory=set)
    challenge: str | None = None
    redirect_to: str | None = None
    upload_location: str | None = None
    claimed_digest: str | None = None
    token_lifetime_seconds: int | None = 300
    users: dict[str, str] = field(default_factory=dict)
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[bytes, str]] = field(default_factory=dict)
    tokens: dict[str, list[str]] = field(default_factory=dict)
    mounts: bool = True
    knows_referrers: bool = True
    registry_tokens: set[str] = field(default_factory=set)
    scopes_asked: list[list[str]] = field(default_factory=list)
    uploads: dict[str, bytes] = field(default_factory=dict)
    signatures: set[str] = field(default_factory=set)
    requests: list[Record] = field(default_factory=list)
    counter: int = 0

    def record(self, record: Record) -> None:
        """Notes a request."""
        with self.lock:
            self.requests.append(record)

    def next_name(self, prefix: str) -> str:
        """A name nobody had before."""
        with self.lock:
            self.counter += 1
            return f"{prefix}-{self.counter}"

    def issue_token(self, scopes: list[str]) -> str:
        """A new token for some scopes."""
        token = self.next_name("token")
        with self.lock:
            self.tokens[token] = scopes
            self.scopes_asked.append(scopes)
        return token

    def issue_identity_token(self) -> str:
        """A new identity token, in place of all others."""
        token = self.next_name("identity")
        with self.lock:
            self.identity_tokens.clear()
            self.identity_tokens.add(token)
        return token

    def is_allowed(self, authorization: str, repository: str, action: str) -> bool:
        """Whether a token covers a request."""
        token = authorization.removeprefix("Bearer ")
        with self.lock:
            scopes = self.tokens.get(token, [])
        if token in self.registry_tokens:
            return True
        for scope in scopes:
            _, _, rest = scope.partition(":")
            name, _, actions = rest.rpartition(":")
            if name == repository and action in actions.split(","):
                return True
        return False

    def sign(self) -> str:
        """A signature that the CDN accepts until the redirects expire."""
        signature = self.next_name("signature")
        with self.lock:
            self.signatures.add(signature)
        return signature

    def add_blob(self, repository: str, data: bytes) -> Digest:
        """Stores a blob."""
        digest = Digest("sha256", hashlib.sha256(data).hexdigest())
        with self.lock:
            self.blobs[repository, str(digest)] = data
        return digest

    def add_manifest(self, repository: str, name: str, raw: bytes, media_type: str) -> Digest:
        """Stores a manifest under a tag (or its digest) and its digest."""
        digest = Digest.of(raw)
        with self.lock:
            for key in (name, str(digest)):
                self.manifests[repository, key] = (raw, media_type)
        return digest
