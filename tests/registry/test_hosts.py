import pytest
from hypothesis import given, strategies as st

from registry.hosts import api_url, is_loopback, origin, resolve_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("docker.io", "https://registry-1.docker.io/v2/"),
        ("ghcr.io", "https://ghcr.io/v2/"),
        ("host.io:5000", "https://host.io:5000/v2/"),
        ("localhost:5000", "http://localhost:5000/v2/"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000/v2/"),
        ("127.9.9.9", "http://127.9.9.9/v2/"),
        ("[::1]:5000", "http://[::1]:5000/v2/"),
        ("plain.io:80", "http://plain.io:80/v2/"),
        ("plain.io", "https://plain.io/v2/"),
    ],
)
def test_where_apis_are(host, url):
    assert api_url(host, plain_http_hosts=frozenset({"plain.io:80"})) == url


@pytest.mark.parametrize(
    "host", ["localhost.evil.io", "127.0.0.1.evil.io", "1127.0.0.1", "[::2]:1", ""]
)
def test_what_only_looks_like_this_machine(host):
    assert not is_loopback(host)


def test_origins():
    assert origin("https://a.io/x") == origin("https://a.io:443/y?z")
    assert origin("https://a.io/x") != origin("http://a.io/x")
    assert origin("https://a.io/x") != origin("https://a.io:444/x")
    assert origin("https://a.io/x") != origin("https://b.io/x")


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/v2/y?a=b", "https://a.io/v2/y?a=b"),
        ("y", "https://a.io/v2/x/y"),
        ("//b.io/y", "https://b.io/y"),
        ("http://b.io:80/y", "http://b.io:80/y"),
        ("file:///etc/passwd", None),
        ("ftp://b.io/", None),
        ("https://user:password@b.io/", None),
        ("https://b.io:port/", None),
        ("https://b.io:99999/", None),
        ("https://b.io:0/", None),
        ("https:///y", "https://a.io/y"),
        ("https://[b.io/", None),
        ("https://b.io/\r\nX: y", None),
        ("https://b.io/a b", None),
        ("https://b.io/é", None),
        ("https://b.io/" + "x" * 20_000, None),
    ],
)
def test_where_locations_lead(location, url):
    assert resolve_url("https://a.io/v2/x/", location) == url


@given(st.text(max_size=40))
def test_any_location_leads_somewhere_plain_or_nowhere(location):
    url = resolve_url("https://a.io/v2/x", location)
    assert url is None or url.startswith(("http://", "https://"))
