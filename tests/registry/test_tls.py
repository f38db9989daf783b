import subprocess
from pathlib import Path

import pytest

from registry.endpoints import ClientCertificate, Connection
from registry.errors import TlsFileError
from registry.tls import TlsFiles, load_tls


def test_authorities_are_read(authority):
    files = load_tls(Connection(ca_files=(authority.certificate, authority.certificate)))
    assert files.authorities.count(b"BEGIN CERTIFICATE") == 2
    assert load_tls(Connection(verify=False)) == TlsFiles()


def test_certificate_and_key_in_one_file_or_in_two(authority, tmp_path):
    certificate, key = authority.issue("client")
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    one = load_tls(Connection(client_certificates=(ClientCertificate(both),)))
    assert (one.certificate, one.key) == (both, both)
    two = load_tls(Connection(client_certificates=(ClientCertificate(certificate, key),)))
    assert (two.certificate, two.key) == (certificate, key)


def test_what_cannot_be_used_is_named(authority, tmp_path):
    certificate, key = authority.issue("client")
    nonsense, missing = tmp_path / "nonsense", tmp_path / "missing"
    nonsense.write_text("nonsense")
    for connection, path, setting in (
        (Connection(ca_files=(missing,)), missing, "ca"),
        (Connection(ca_files=(nonsense,)), nonsense, "ca"),
        (Connection(client_certificates=(ClientCertificate(missing, key),)), missing, "client"),
        (
            Connection(client_certificates=(ClientCertificate(certificate, missing),)),
            missing,
            "client",
        ),
        (Connection(client_certificates=(ClientCertificate(certificate),)), certificate, "client"),
    ):
        with pytest.raises(TlsFileError, match=str(path)) as caught:
            load_tls(connection)
        assert (caught.value.path, caught.value.key) == (path, setting)


def test_a_key_with_a_password_is_an_error_and_no_question(authority, tmp_path):
    certificate, key = authority.issue("client")
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-aes128", "-passout", "pass:x", "-in", key, "-out", locked]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    pair = ClientCertificate(certificate, Path(locked))
    with pytest.raises(TlsFileError, match="encrypted"):
        load_tls(Connection(client_certificates=(pair,)))
