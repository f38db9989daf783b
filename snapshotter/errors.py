"""What can go wrong in the snapshotter.

    SnapshotterError
     +- SnapshotNotFoundError     no snapshot of that name
     +- SnapshotExistsError       the name is taken; to containerd, of a target: served already
     +- SnapshotStateError        the snapshot is of the wrong kind for the operation, or has children
     +- InvalidRequestError       an empty key, a field that cannot be changed, a parent that is not committed
     +- InvalidLabelError         a label that is too long
     +- InvalidFilterError        a filter expression that cannot be read
     +- LayerUnavailableError     a layer cannot be served now
     +- IdMappingError            layers cannot be shown to the users that a container's are mapped to
     +- FsServerError             the fs server cannot be started, or does not answer
     +- RecordsError              the database is of a version this program does not know
     +- ConfigError               a setting that cannot be used
     +- StartupError              the daemon cannot start

    CommandError                  of a command that serves nothing, in the module it comes from

``snapshotter.status`` is the only place where these become gRPC codes.
"""

from pathlib import Path


class SnapshotterError(Exception):
    """Base of all errors of this package."""


class CommandError(Exception):
    """Base of the errors of single commands; none is raised while containerd is served."""


class SnapshotNotFoundError(SnapshotterError):
    """No snapshot has that key or name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"snapshot {name!r} does not exist")
        self.name = name


class SnapshotExistsError(SnapshotterError):
    """A snapshot of that key or name exists."""

    def __init__(self, name: str, *, role: str = "snapshot") -> None:
        super().__init__(f'{role} "{name}": already exists')
        self.name = name
        self.role = role


class SnapshotStateError(SnapshotterError):
    """A snapshot is not in the state that the operation needs."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"snapshot {name!r}: {reason}")
        self.name = name
        self.reason = reason


class InvalidRequestError(SnapshotterError):
    """A request that no state of the snapshotter could satisfy."""

    def __init__(self, field: str, value: str, reason: str) -> None:
        super().__init__(f"{field} {value!r}: {reason}")
        self.field = field
        self.value = value
        self.reason = reason


class InvalidLabelError(SnapshotterError):
    """A label that cannot be stored."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"label {name[:100]!r}: {reason}")
        self.name = name
        self.reason = reason


class InvalidFilterError(SnapshotterError):
    """A filter expression that cannot be read."""

    def __init__(self, text: str, position: int, reason: str) -> None:
        super().__init__(f"filter {text!r}, at character {position + 1}: {reason}")
        self.text = text
        self.position = position
        self.reason = reason


class LayerUnavailableError(SnapshotterError):
    """A layer cannot be served now; trying again may help."""

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(f'layer "{layer}" unavailable: {reason}')
        self.layer = layer
        self.reason = reason


class IdMappingError(SnapshotterError):
    """Layers cannot be shown to the users of the machine that a container's users are mapped to."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"layers cannot be shown with mapped owners: {reason}")
        self.reason = reason


class FsServerError(SnapshotterError):
    """The fs server cannot be started, or does not answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"fs server: {reason}")
        self.reason = reason


class RecordsError(SnapshotterError):
    """The database of snapshots cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class ConfigError(SnapshotterError):
    """A setting that cannot be used."""

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(f"{setting}: {reason}")
        self.setting = setting
        self.reason = reason


class StartupError(SnapshotterError):
    """The daemon cannot start; says what is wrong and what to do about it."""

    def __init__(self, what: str, what_to_do: str) -> None:
        super().__init__(f"{what}: {what_to_do}")
        self.what = what
        self.what_to_do = what_to_do
