"""Both clients of the benchmark read the same ranges."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.registry_clients import Blob, read_by_curl, read_by_us
from tests.nginx import Nginx

pytestmark = pytest.mark.registry


@pytest.fixture
def blob(tmp_path: Path) -> Blob:
    return Blob(tmp_path, pieces=1)


@pytest.fixture
def nginx(blob: Blob, tmp_path: Path) -> Iterator[Nginx]:
    with Nginx(tmp_path / "nginx", f"root {tmp_path};") as nginx:
        yield nginx


@pytest.mark.parametrize("concurrency", [1, 4])
def test_they_read_the_same(nginx: Nginx, blob: Blob, concurrency: int) -> None:
    ranges = blob.choose_ranges(4096, 12, seed=1)
    ours = read_by_us(nginx.host, blob.digest, ranges, concurrency)
    asked_by_us = nginx.requests()
    curl = read_by_curl(f"http://{nginx.host}{blob.path}", ranges, concurrency)
    asked_by_curl = nginx.requests()[len(asked_by_us) :]
    assert Counter(asked_by_us) == Counter(asked_by_curl)
    assert len(asked_by_us) == len(ranges) == ours.ranges == curl.ranges
    assert all(line.startswith("206 GET ") for line in asked_by_us)
