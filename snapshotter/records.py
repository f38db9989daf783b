"""What is known of snapshots, in sqlite: names, parents, kinds, labels, sizes.

Every call is one short transaction, durable when it returns; none is open while anybody waits for anything
else. Safe to call from many threads.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from snapshotter.clock import Clock
from snapshotter.errors import (
    InvalidRequestError,
    RecordsError,
    SnapshotExistsError,
    SnapshotNotFoundError,
    SnapshotStateError,
)
from snapshotter.mounts import Kind
