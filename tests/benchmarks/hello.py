"""The smallest workload there is, and a network that asks for all a client must know; images: see the fixtures."""

from benchmarks.network import NetworkProfile
from benchmarks.workloads import Line, Workload

PROFILE = NetworkProfile(name="test", rtt_ms=2, token_auth=True, redirects=True)
HELLO = Workload("hello", "hello", ("/hello",), Line("hello"))
