import hashlib
import http.client
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trio

from benchmarks.network import EmulatedNetwork, NetworkProfile, RequestKind
from benchmarks.network_link import Link
from tests.real_registry import RealRegistry

REPOSITORY = "self-check"
CONTENT = bytes(range(256)) * 1024
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
BLOB = f"/v2/{REPOSITORY}/blobs/{DIGEST}"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRegistry]:
    with RealRegistry(tmp_path_factory.mktemp("registry")) as registry:
        upload(registry.host)
        yield registry


def upload(host: str, headers: dict[str, str] | None = None) -> None:
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/", headers=headers or {})
    begun = connection.getresponse()
    begun.read()
    location = urlsplit(begun.headers["Location"])
    assert location.netloc == host  # the upload goes on through the same network
    path = f"{location.path}?{location.query}&digest={DIGEST}"
    octets = {"Content-Type": "application/octet-stream", **(headers or {})}
    connection.request("PUT", path, CONTENT, octets)
    assert connection.getresponse().status == 201
    connection.close()


def get(host: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request("GET", path, headers=headers or {})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, body, response.headers.get("Location") or ""


@pytest.mark.registry
def test_what_passes_is_unchanged_and_counted(registry: RealRegistry) -> None:
    with EmulatedNetwork(registry.host, NetworkProfile()) as network:
        before = network.traffic()
        assert get(network.host, BLOB) == (200, CONTENT, "")
        assert get(network.host, BLOB, {"Range": "bytes=5-9"}) == (206, CONTENT[5:10], "")
        passed = network.traffic().since(before)
    whole, part = passed.requests
    assert (whole.kind, whole.digest, whole.body_bytes) == (RequestKind.BLOB, DIGEST, len(CONTENT))
    assert (part.range, part.body_bytes, part.status) == ("bytes=5-9", 5, 206)
    assert passed.connections == 2
    assert len(CONTENT) < passed.bytes_down < len(CONTENT) + 2000


@pytest.mark.registry
def test_uploads_pass_too(registry: RealRegistry) -> None:
    with EmulatedNetwork(registry.host, NetworkProfile()) as network:
        upload(network.host)
        assert network.traffic().bytes_up == len(CONTENT)


@pytest.mark.registry
def test_a_connection_is_kept_for_the_next_request(registry: RealRegistry) -> None:
    with EmulatedNetwork(registry.host, NetworkProfile()) as network:
        connection = http.client.HTTPConnection(network.host, timeout=20)
        for _ in range(3):
            connection.request("GET", BLOB)
            assert connection.getresponse().read() == CONTENT
        connection.close()
        passed = network.traffic()
    assert (passed.connections, len(passed.requests)) == (1, 3)


@pytest.mark.registry
def test_tokens_are_demanded_and_storage_refuses_them(registry: RealRegistry) -> None:
    with EmulatedNetwork(registry.host, NetworkProfile(token_auth=True, redirects=True)) as network:
        assert get(network.host, BLOB)[0] == 401
        token = json.loads(get(network.host, "/token")[1])["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        status, _, location = get(network.host, BLOB, bearer)
        storage = urlsplit(location)
        assert (status, storage.netloc != network.host) == (307, True)
        path = f"{storage.path}?{storage.query}"
        assert get(storage.netloc, path, bearer)[0] == 400
        assert get(storage.netloc, path)[:2] == (200, CONTENT)
        kinds = [request.kind.value for request in network.traffic().requests]
    assert kinds == ["refused", "token", "redirect", "refused", "blob"]


@pytest.mark.registry
@pytest.mark.parametrize("rtt_ms", [10, 40])
def test_curl_takes_a_round_trip_for_each_step(registry: RealRegistry, rtt_ms: int) -> None:
    """Set-up, and one round trip to the first byte; the machine adds what it adds, never less than nothing."""
    profile = NetworkProfile(rtt_ms=rtt_ms, setup_round_trips=2)
    with EmulatedNetwork(registry.host, profile) as network:
        fastest = min(seconds_of_curl(network.host) for _ in range(5))
    assert 3 * profile.rtt_seconds <= fastest < 3 * profile.rtt_seconds + 0.06


def seconds_of_curl(host: str) -> float:
    words = ["--silent", "--fail", "--output", "/dev/null", "--write-out", "%{time_total}"]
    done = subprocess.run(
        ["curl", *words, f"http://{host}{BLOB}"], capture_output=True, check=True, timeout=20
    )
    return float(done.stdout)


@pytest.mark.registry
def test_connections_share_the_bandwidth(registry: RealRegistry) -> None:
    profile = NetworkProfile(mbit=20, setup_round_trips=0)
    with EmulatedNetwork(registry.host, profile) as network:
        start = time.perf_counter()
        words = [
            "curl",
            "--silent",
            "--fail",
            "--output",
            "/dev/null",
            f"http://{network.host}{BLOB}",
        ]
        both = [subprocess.Popen(words) for _ in range(2)]
        assert [process.wait(20) for process in both] == [0, 0]
        seconds = time.perf_counter() - start
    assert seconds >= 2 * len(CONTENT) / profile.bytes_per_second - 0.01


async def test_a_link_is_as_fast_as_it_says(autojump_clock: trio.testing.MockClock) -> None:
    link = Link(1e6)
    await trio.sleep(1)  # what was not used before is not saved up
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(link.carry, 100_000)
    assert trio.current_time() - start == pytest.approx(1.0, abs=0.0031)
    assert link.bytes_carried == 1_000_000


def test_the_process_ends_with_its_parents_interest(tmp_path: Path) -> None:
    with EmulatedNetwork("127.0.0.1:1", NetworkProfile()) as network:
        pid = network.pid
        assert Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{pid}").exists()
