import dataclasses
from pathlib import Path

import pytest

from registry.endpoints import ClientCertificate, Connection, Endpoint

_OWN = ClientCertificate(Path("c"))


@pytest.mark.parametrize(
    ("registry", "base_url", "is_mirror", "url"),
    [
        ("ghcr.io", "https://ghcr.io/v2/", False, "https://ghcr.io/v2/a/blobs/x"),
        (
            "docker.io",
            "https://registry-1.docker.io/v2/",
            False,
            "https://registry-1.docker.io/v2/a/blobs/x",
        ),
        ("docker.io", "http://[::1]:5000/v2/", True, "http://[::1]:5000/v2/a/blobs/x?ns=docker.io"),
        (
            "h.io:5000",
            "https://m.io/proxy/v2/",
            True,
            "https://m.io/proxy/v2/a/blobs/x?ns=h.io:5000",
        ),
        ("h.io:5000", "https://h.io/v2/", True, "https://h.io/v2/a/blobs/x?ns=h.io:5000"),
    ],
)
def test_mirrors_are_told_whose_content_is_meant(registry, base_url, is_mirror, url):
    endpoint = Endpoint(registry, base_url)
    assert (endpoint.is_mirror, endpoint.url("a/blobs/x")) == (is_mirror, url)


def test_queries_are_kept():
    assert Endpoint("a.io", "https://b.io/v2/").url("x?y=1") == "https://b.io/v2/x?y=1&ns=a.io"


def test_one_logs_in_to_a_mirror_by_its_own_name():
    assert Endpoint("docker.io", "https://m.io:5000/v2/").login == "m.io:5000"
    assert Endpoint("docker.io", "https://registry-1.docker.io/v2/").login == "docker.io"


def test_headers_are_for_the_server_alone_and_never_shown():
    headers = (("X-Key", "secret"), ("Accept", "a"), ("Accept", "b"))
    endpoint = Endpoint("a.io", "https://a.io/v2/", headers=headers)
    assert endpoint.headers_for("https://a.io:443/token") == {"X-Key": "secret", "Accept": "a, b"}
    assert endpoint.headers_for("https://cdn.io/x") == {}
    assert "secret" not in repr(endpoint)


def test_who_we_are_is_shown_to_the_server_alone_and_whom_it_trusts_everywhere():
    connection = Connection(ca_files=(Path("ca"),), client_certificates=(_OWN,))
    endpoint = Endpoint("a.io", "https://a.io/v2/", connection)
    assert endpoint.connection_to("https://a.io/v2/x") == connection
    elsewhere = endpoint.connection_to("https://cdn.io/x")
    assert elsewhere == dataclasses.replace(connection, client_certificates=())


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        (Connection(), False),
        (Connection(connect_timeout_seconds=1), False),
        (Connection(verify=False), True),
        (Connection(ca_files=(Path("x"),)), True),
        (Connection(client_certificates=(_OWN,)), True),
    ],
)
def test_what_counts_as_tls_settings(connection, expected):
    assert connection.has_tls_settings is expected
