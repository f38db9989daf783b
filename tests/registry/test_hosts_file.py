from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from registry.endpoints import (
    ALL_CAPABILITIES,
    Capability,
    ClientCertificate,
    Connection,
    Endpoint,
)
from registry.errors import HostsError
from registry.hosts_file import MAX_HOSTS_FILE_BYTES, HostsFile, parse_hosts_file

_PATH = Path("/etc/containerd/certs.d/a.io/hosts.toml")
_HERE = _PATH.parent
_ITSELF = Endpoint("a.io", "https://a.io/v2/")


def _parse(text: str, *, default: Endpoint = _ITSELF) -> HostsFile:
    raw = text.encode()
    return parse_hosts_file(raw, path=_PATH, registry=default.registry, default=default)


def _urls(text: str) -> list[str]:
    return [endpoint.base_url for endpoint in _parse(text).endpoints]


def _only(text: str) -> Endpoint:
    mirror, _ = _parse(f'[host."https://m.io"]\n{text}').endpoints
    return mirror


def test_mirrors_come_as_written_and_the_registry_itself_last():
    assert _urls('[host."z.io"]\n[host."https://b.io".header]\nX = "1"\n[host."http://c.io:5000"]') == [
        "https://z.io/v2/",
        "https://b.io/v2/",
        "http://c.io:5000/v2/",
        "https://a.io/v2/",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("https://s.io", "https://s.io/v2/"),
        ("s.io", "https://s.io/v2/"),
        ("s.io:5000", "https://s.io:5000/v2/"),
        ("http://s.io/", "http://s.io/v2/"),
        ("https://s.io/v2", "https://s.io/v2/"),
        ("https://s.io/v2/", "https://s.io/v2/"),
        ("https://s.io/proxy/../x/", "https://s.io/x/v2/"),
        ("https://s.io/xv2", "https://s.io/xv2/v2/"),
        ("https://docker.io", "https://registry-1.docker.io/v2/"),
        ("http://[::1]:5000", "http://[::1]:5000/v2/"),
    ],
)
def test_where_a_servers_api_is(server, url):
    assert _urls(f'server = "{server}"') == [url]


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("https://s.io/odd/path", "https://s.io/odd/path/"),
        ("https://s.io/", "https://s.io/"),
        ("https://s.io", "https://s.io/"),
        ("https://s.io/v2/docker", "https://s.io/v2/docker/"),
    ],
)
def test_an_api_that_is_elsewhere(server, url):
    assert _urls(f'[host."{server}"]\noverride_path = true')[0] == url


def test_an_empty_file_names_the_registry_itself():
    assert _parse("").endpoints == (_ITSELF,)


def test_keys_outside_of_hosts_are_the_servers():
    text = 'server = "https://s.io"\nskip_verify = true\n[header]\nX = "1"\n[host."m.io"]'
    mirror, itself = _parse(text).endpoints
    assert (itself.base_url, itself.connection.verify) == ("https://s.io/v2/", False)
    assert itself.headers == (("X", "1"),)
    assert (mirror.connection.verify, mirror.headers) == (True, ())


def test_keys_without_a_server_are_the_registrys_own():
    (itself,) = _parse('ca = "ca.crt"').endpoints
    connection = Connection(ca_files=(_HERE / "ca.crt",))
    assert itself == Endpoint("a.io", "https://a.io/v2/", connection)


def test_tls_for_this_machines_own_registry_is_used():
    default = Endpoint("localhost:5000", "http://localhost:5000/v2/")
    (itself,) = _parse('ca = "ca.crt"', default=default).endpoints
    assert itself.base_url == "https://localhost:5000/v2/"
    assert (
        _parse('capabilities = ["pull"]', default=default).endpoints[0].base_url == default.base_url
    )


@pytest.mark.parametrize(
    ("value", "capabilities"),
    [
        ("[]", ALL_CAPABILITIES),
        ('["pull"]', {Capability.PULL}),
        ('["Pull", "RESOLVE"]', {Capability.PULL, Capability.RESOLVE}),
        ('["pull", "referrers"]', {Capability.PULL}),
        ('["push", "pull", "resolve"]', ALL_CAPABILITIES),
    ],
)
def test_capabilities(value, capabilities):
    assert _only(f"capabilities = {value}").capabilities == capabilities
    assert _only("").capabilities == ALL_CAPABILITIES


@pytest.mark.parametrize(
    ("value", "files"),
    [('"ca.crt"', ["ca.crt"]), ('["a", "/b"]', ["a", "/b"]), ("[]", [])],
)
def test_authorities(value, files):
    connection = _only(f"ca = {value}").connection
    assert connection.ca_files == tuple(_HERE / file for file in files)


@pytest.mark.parametrize(
    ("value", "pairs"),
    [
        ('"both.pem"', [("both.pem", None)]),
        ('["a.pem", "/b.pem"]', [("a.pem", None), ("/b.pem", None)]),
        ('[["c.cert", "c.key"]]', [("c.cert", "c.key")]),
        ('[["c.cert", "c.key"], ["d.pem", ""]]', [("c.cert", "c.key"), ("d.pem", None)]),
        ('[["c.cert", "/k/c.key"], "d.pem"]', [("c.cert", "/k/c.key"), ("d.pem", None)]),
        ("[]", []),
    ],
)
def test_client_certificates_in_every_shape(value, pairs):
    assert _only(f"client = {value}").connection.client_certificates == tuple(
        ClientCertificate(_HERE / certificate, None if key is None else _HERE / key)
        for certificate, key in pairs
    )


def test_the_rest_of_a_host():
    mirror = _only('skip_verify = true\ndial_timeout = "1m30s"\n[host."https://m.io".header]\nX-A = ["1", "2"]\nX-B = "3"')  # fmt: skip
    assert mirror.connection == Connection(verify=False, connect_timeout_seconds=90)
    assert mirror.headers == (("X-A", "1"), ("X-A", "2"), ("X-B", "3"))
    assert mirror.registry == "a.io"


def test_unknown_keys_do_not_break_a_file_that_is_containerds():
    parsed = _parse('later = 1\n[host."m.io"]\ndial_addr = "x"')
    assert parsed.unknown_keys == ("later", 'host."m.io".dial_addr')


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("server = 1", "server"),
        ('server = "https://user:secret@s.io"', "server"),
        ('server = "https://s.io?x=y"', "server"),
        ('server = "https://s.io:port"', "server"),
        ('server = "ftp://s.io"', "server"),
        ('[host."https://"]', 'host."https://"'),
        ('[host."https://m.io:99999"]', 'host."https://m.io:99999"'),
        ('host = "m.io"', "host"),
        ("[host]\nx = 1", 'host."x"'),
        ('[host."m.io"]\ncapabilities = "pull"', 'host."m.io".capabilities'),
        ('[host."m.io"]\ncapabilities = [1]', 'host."m.io".capabilities'),
        ('[host."m.io"]\ncapabilities = ["pul"]', 'host."m.io".capabilities'),
        ('[host."m.io"]\nca = 1', 'host."m.io".ca'),
        ('[host."m.io"]\nca = [1]', 'host."m.io".ca'),
        ('[host."m.io"]\nca = ""', 'host."m.io".ca'),
        ('[host."m.io"]\nclient = 1', 'host."m.io".client'),
        ('[host."m.io"]\nclient = [["a", "b", "c"]]', 'host."m.io".client'),
        ('[host."m.io"]\nclient = [["a"]]', 'host."m.io".client'),
        ('[host."m.io"]\nclient = [1]', 'host."m.io".client'),
        ('[host."m.io"]\nskip_verify = "true"', 'host."m.io".skip_verify'),
        ('[host."m.io"]\noverride_path = 1', 'host."m.io".override_path'),
        ('[host."m.io"]\nheader = "X: secret"', 'host."m.io".header'),
        ('[host."m.io".header]\nX = 1', 'host."m.io".header.X'),
        ('[host."m.io"]\ndial_timeout = 30', 'host."m.io".dial_timeout'),
        ('[host."m.io"]\ndial_timeout = "30"', 'host."m.io".dial_timeout'),
        ('[host."m.io"]\ndial_timeout = "0s"', 'host."m.io".dial_timeout'),
        ("=", ""),
        ("x" * (MAX_HOSTS_FILE_BYTES + 1), ""),
    ],
)
def test_a_mistake_is_told_with_file_and_key(text, key):
    with pytest.raises(HostsError, match="repair the file") as caught:
        _parse(text)
    assert (caught.value.path, caught.value.key) == (_PATH, key)
    assert "secret" not in str(caught.value)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    try:
        parsed = _parse(text)
    except HostsError:
        return
    assert parsed.endpoints
