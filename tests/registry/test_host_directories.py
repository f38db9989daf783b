from pathlib import Path

import pytest

from registry.endpoints import ClientCertificate, Endpoint
from registry.errors import HostsError
from registry.host_directories import (
    LoadedHosts,
    directory_names,
    load_hosts,
    read_stamp,
    watched_paths,
)
from registry.hosts import api_url


def _load(*roots: Path, registry: str = "a.io:5000") -> LoadedHosts:
    return load_hosts(roots, default=Endpoint(registry, api_url(registry)))


def _write(directory: Path, text: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "hosts.toml").write_text(text)


@pytest.mark.parametrize(
    ("registry", "names"),
    [
        ("a.io", ("a.io", "_default")),
        ("a.io:5000", ("a.io_5000_", "a.io:5000", "_default")),
        ("[::1]:5000", ("[::1]_5000_", "[::1]:5000", "_default")),
        ("[::1]", ("[::1]", "_default")),
    ],
)
def test_how_directories_are_called(registry, names):
    assert directory_names(registry) == names


def test_the_first_directory_that_exists_counts(tmp_path):
    expected = ["https://a.io:5000/v2/"]
    assert [str(endpoint) for endpoint in _load(tmp_path).endpoints] == expected
    for name in ("_default", "a.io:5000", "a.io_5000_"):
        _write(tmp_path / name, f'server = "https://{name.strip("_").replace(":", ".")}.io"')
        loaded = _load(tmp_path)
        assert loaded.directory == tmp_path / name
        assert len(loaded.endpoints) == 1
        assert loaded.endpoints[0].base_url != expected[0]


def test_an_earlier_root_wins_even_by_its_default(tmp_path):
    _write(tmp_path / "first" / "_default", 'server = "https://first.io"')
    _write(tmp_path / "second" / "a.io:5000", 'server = "https://second.io"')
    loaded = _load(tmp_path / "missing", tmp_path / "first", tmp_path / "second")
    assert loaded.endpoints[0].base_url == "https://first.io/v2/"


def test_certificates_that_lie_in_the_directory(authority, tmp_path):
    directory = tmp_path / "a.io:5000"
    directory.mkdir()
    certificate, key = authority.issue("client")
    (directory / "ca.crt").write_bytes(authority.certificate.read_bytes())
    (directory / "client.cert").write_bytes(certificate.read_bytes())
    (directory / "client.key").write_bytes(key.read_bytes())
    (directory / "both.cert").write_bytes(certificate.read_bytes() + key.read_bytes())
    (directory / "hosts.toml").touch()  # empty: as if it were not there
    (endpoint,) = _load(tmp_path).endpoints
    assert endpoint.base_url == "https://a.io:5000/v2/"
    assert endpoint.connection.ca_files == (directory / "ca.crt",)
    assert endpoint.connection.client_certificates == (
        ClientCertificate(directory / "both.cert"),
        ClientCertificate(directory / "client.cert", directory / "client.key"),
    )


def test_certificates_for_this_machines_own_registry_mean_tls(authority, tmp_path):
    directory = tmp_path / "localhost:5000"
    directory.mkdir()
    assert _load(tmp_path, registry="localhost:5000").endpoints[0].base_url.startswith("http:")
    (directory / "ca.crt").write_bytes(authority.certificate.read_bytes())
    assert _load(tmp_path, registry="localhost:5000").endpoints[0].base_url.startswith("https:")


def test_a_changed_certificate_makes_new_connections(authority, tmp_path):
    directory = tmp_path / "a.io:5000"
    _write(directory, 'ca = "ca.crt"')
    (directory / "ca.crt").write_bytes(authority.certificate.read_bytes())
    before = _load(tmp_path).endpoints[0].connection
    assert _load(tmp_path).endpoints[0].connection == before
    (directory / "ca.crt").write_bytes(authority.certificate.read_bytes() * 2)
    assert _load(tmp_path).endpoints[0].connection != before


def test_everything_an_answer_depends_on_is_watched(authority, tmp_path):
    directory = tmp_path / "a.io:5000"
    _write(directory, 'client = [["c.cert", "c.key"]]\nca = "ca.crt"')
    certificate, key = authority.issue("client")
    for name, source in (
        ("c.cert", certificate),
        ("c.key", key),
        ("ca.crt", authority.certificate),
    ):
        (directory / name).write_bytes(source.read_bytes())
    watched = _load(tmp_path).watched
    assert {directory / name for name in ("hosts.toml", "ca.crt", "c.cert", "c.key")} <= set(
        watched
    )
    assert watched[tmp_path / "a.io_5000_"] is None
    assert set(watched_paths((tmp_path,), registry="a.io:5000")) <= set(watched)
    assert all(read_stamp(path) == stamp for path, stamp in watched.items())


def test_a_certificate_that_cannot_be_used_is_told_with_file_and_key(tmp_path):
    _write(tmp_path / "a.io:5000", '[host."m.io"]\nca = "missing.crt"')
    with pytest.raises(HostsError, match=r"hosts\.toml: ca .*missing\.crt: No such file"):
        _load(tmp_path)


def test_a_certificate_of_a_bare_directory_is_told_by_its_own_name(tmp_path):
    (tmp_path / "a.io:5000").mkdir()
    (tmp_path / "a.io:5000" / "ca.crt").write_text("nonsense")
    with pytest.raises(HostsError, match=r"from \S+/ca\.crt \(it holds no usable certificate"):
        _load(tmp_path)


def test_a_file_that_is_a_directory_is_told(tmp_path):
    (tmp_path / "a.io:5000" / "hosts.toml").mkdir(parents=True)
    with pytest.raises(HostsError, match="Is a directory"):
        _load(tmp_path)
