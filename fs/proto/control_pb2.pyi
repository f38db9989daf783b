from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AttachRequest(_message.Message):
    __slots__ = ("reference", "layer_digest", "toc_digest", "neighbours", "prefetch_bytes")
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    LAYER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TOC_DIGEST_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    PREFETCH_BYTES_FIELD_NUMBER: _ClassVar[int]
    reference: str
    layer_digest: str
    toc_digest: str
    neighbours: _containers.RepeatedScalarFieldContainer[str]
    prefetch_bytes: int
    def __init__(self, reference: _Optional[str] = ..., layer_digest: _Optional[str] = ..., toc_digest: _Optional[str] = ..., neighbours: _Optional[_Iterable[str]] = ..., prefetch_bytes: _Optional[int] = ...) -> None: ...

class AttachResponse(_message.Message):
    __slots__ = ("directory",)
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    directory: str
    def __init__(self, directory: _Optional[str] = ...) -> None: ...

class DetachRequest(_message.Message):
    __slots__ = ("layer_digest",)
    LAYER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    layer_digest: str
    def __init__(self, layer_digest: _Optional[str] = ...) -> None: ...

class DetachResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CheckRequest(_message.Message):
    __slots__ = ("layer_digests", "starts_container")
    LAYER_DIGESTS_FIELD_NUMBER: _ClassVar[int]
    STARTS_CONTAINER_FIELD_NUMBER: _ClassVar[int]
    layer_digests: _containers.RepeatedScalarFieldContainer[str]
    starts_container: bool
    def __init__(self, layer_digests: _Optional[_Iterable[str]] = ..., starts_container: _Optional[bool] = ...) -> None: ...

class CheckResponse(_message.Message):
    __slots__ = ("missing",)
    MISSING_FIELD_NUMBER: _ClassVar[int]
    missing: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, missing: _Optional[_Iterable[str]] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusResponse(_message.Message):
    __slots__ = ("version", "mountpoint", "layers", "cache", "fetching", "durations")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    MOUNTPOINT_FIELD_NUMBER: _ClassVar[int]
    LAYERS_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    FETCHING_FIELD_NUMBER: _ClassVar[int]
    DURATIONS_FIELD_NUMBER: _ClassVar[int]
    version: str
    mountpoint: str
    layers: _containers.RepeatedCompositeFieldContainer[LayerStatus]
    cache: CacheStatus
    fetching: FetchStatus
    durations: _containers.RepeatedCompositeFieldContainer[DurationHistogram]
    def __init__(self, version: _Optional[str] = ..., mountpoint: _Optional[str] = ..., layers: _Optional[_Iterable[_Union[LayerStatus, _Mapping]]] = ..., cache: _Optional[_Union[CacheStatus, _Mapping]] = ..., fetching: _Optional[_Union[FetchStatus, _Mapping]] = ..., durations: _Optional[_Iterable[_Union[DurationHistogram, _Mapping]]] = ...) -> None: ...

class DurationHistogram(_message.Message):
    __slots__ = ("operation", "counts", "seconds")
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    operation: str
    counts: _containers.RepeatedScalarFieldContainer[int]
    seconds: float
    def __init__(self, operation: _Optional[str] = ..., counts: _Optional[_Iterable[int]] = ..., seconds: _Optional[float] = ...) -> None: ...

class CacheStatus(_message.Message):
    __slots__ = ("used_bytes", "limit_bytes", "evicted_bytes", "shared_bytes", "unkept_writes", "disk_error")
    USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    EVICTED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHARED_BYTES_FIELD_NUMBER: _ClassVar[int]
    UNKEPT_WRITES_FIELD_NUMBER: _ClassVar[int]
    DISK_ERROR_FIELD_NUMBER: _ClassVar[int]
    used_bytes: int
    limit_bytes: int
    evicted_bytes: int
    shared_bytes: int
    unkept_writes: int
    disk_error: str
    def __init__(self, used_bytes: _Optional[int] = ..., limit_bytes: _Optional[int] = ..., evicted_bytes: _Optional[int] = ..., shared_bytes: _Optional[int] = ..., unkept_writes: _Optional[int] = ..., disk_error: _Optional[str] = ...) -> None: ...

class FetchStatus(_message.Message):
    __slots__ = ("demand", "prefetch", "background", "hits", "waits", "retries", "verify_failures")
    DEMAND_FIELD_NUMBER: _ClassVar[int]
    PREFETCH_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    HITS_FIELD_NUMBER: _ClassVar[int]
    WAITS_FIELD_NUMBER: _ClassVar[int]
    RETRIES_FIELD_NUMBER: _ClassVar[int]
    VERIFY_FAILURES_FIELD_NUMBER: _ClassVar[int]
    demand: Transfer
    prefetch: Transfer
    background: Transfer
    hits: int
    waits: int
    retries: int
    verify_failures: int
    def __init__(self, demand: _Optional[_Union[Transfer, _Mapping]] = ..., prefetch: _Optional[_Union[Transfer, _Mapping]] = ..., background: _Optional[_Union[Transfer, _Mapping]] = ..., hits: _Optional[int] = ..., waits: _Optional[int] = ..., retries: _Optional[int] = ..., verify_failures: _Optional[int] = ...) -> None: ...

class Transfer(_message.Message):
    __slots__ = ("requests", "bytes")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    requests: int
    bytes: int
    def __init__(self, requests: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class LayerStatus(_message.Message):
    __slots__ = ("layer_digest", "reference", "blob_bytes", "fetched_bytes", "content_bytes", "present_bytes", "requests", "verify_failures", "last_error", "landed_bytes", "disk_bytes", "shared_bytes", "fetching", "last_used")
    LAYER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    BLOB_BYTES_FIELD_NUMBER: _ClassVar[int]
    FETCHED_BYTES_FIELD_NUMBER: _ClassVar[int]
    CONTENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    PRESENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    VERIFY_FAILURES_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    LANDED_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHARED_BYTES_FIELD_NUMBER: _ClassVar[int]
    FETCHING_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_FIELD_NUMBER: _ClassVar[int]
    layer_digest: str
    reference: str
    blob_bytes: int
    fetched_bytes: int
    content_bytes: int
    present_bytes: int
    requests: int
    verify_failures: int
    last_error: str
    landed_bytes: int
    disk_bytes: int
    shared_bytes: int
    fetching: FetchStatus
    last_used: float
    def __init__(self, layer_digest: _Optional[str] = ..., reference: _Optional[str] = ..., blob_bytes: _Optional[int] = ..., fetched_bytes: _Optional[int] = ..., content_bytes: _Optional[int] = ..., present_bytes: _Optional[int] = ..., requests: _Optional[int] = ..., verify_failures: _Optional[int] = ..., last_error: _Optional[str] = ..., landed_bytes: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., shared_bytes: _Optional[int] = ..., fetching: _Optional[_Union[FetchStatus, _Mapping]] = ..., last_used: _Optional[float] = ...) -> None: ...

class StopRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StopResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PassCredentialsRequest(_message.Message):
    __slots__ = ("reference", "username", "secret", "kind")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        PASSWORD: _ClassVar[PassCredentialsRequest.Kind]
        IDENTITY_TOKEN: _ClassVar[PassCredentialsRequest.Kind]
        REGISTRY_TOKEN: _ClassVar[PassCredentialsRequest.Kind]
    PASSWORD: PassCredentialsRequest.Kind
    IDENTITY_TOKEN: PassCredentialsRequest.Kind
    REGISTRY_TOKEN: PassCredentialsRequest.Kind
    REFERENCE_FIELD_NUMBER: _ClassVar[int]
    USERNAME_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    reference: str
    username: str
    secret: str
    kind: PassCredentialsRequest.Kind
    def __init__(self, reference: _Optional[str] = ..., username: _Optional[str] = ..., secret: _Optional[str] = ..., kind: _Optional[_Union[PassCredentialsRequest.Kind, str]] = ...) -> None: ...

class PassCredentialsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
