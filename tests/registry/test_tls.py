import ssl
import subprocess
from pathlib import Path

import pytest

from registry.endpoints import ClientCertificate, Connection
from registry.errors import TlsFileError
from registry.tls import make_context


def test_a_private_authority_is_trusted_besides_the_machines_own(authority):
    own = len(make_context(Connection()).get_ca_certs())
    context = make_context(Connection(ca_files=(authority.certificate,)))
    assert len(context.get_ca_certs()) == own + 1
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_verification_can_be_switched_off():
    context = make_context(Connection(verify=False))
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)


def test_certificate_and_key_in_one_file_or_in_two(authority, tmp_path):
    certificate, key = authority.issue("client")
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    make_context(Connection(client_certificates=(ClientCertificate(both),)))
    make_context(Connection(client_certificates=(ClientCertificate(certificate, key),)))


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
            make_context(connection)
        assert (caught.value.path, caught.value.key) == (path, setting)


def test_a_key_with_a_password_is_an_error_and_no_question(authority, tmp_path):
    certificate, key = authority.issue("client")
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-aes128", "-passout", "pass:x", "-in", key, "-out", locked]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    pair = ClientCertificate(certificate, Path(locked))
    with pytest.raises(TlsFileError, match="encrypted"):
        make_context(Connection(client_certificates=(pair,)))
