"""Programs that say who we are to a cluster: run, kept, and refused."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from registry.errors import CredentialsError
from registry.keychain.exec_credentials import (
    ExecCredential,
    ExecCredentials,
    dump_request,
    parse_answer,
)
from registry.keychain.kubeconfig import ExecPlugin
from tests.registry.scripts import write_script

_V1 = "client.authentication.k8s.io/v1"
_NOW = datetime(2030, 1, 1, tzinfo=UTC)


def _answer(**status: str) -> bytes:
    return json.dumps({"kind": "ExecCredential", "apiVersion": _V1, "status": status}).encode()


def test_an_answer_is_kept_as_long_as_it_says(tmp_path):
    now = [_NOW]
    status = '{"token": "$RUN_BY-$(wc -l < runs)", "expirationTimestamp": "2030-01-01T00:01:00Z"}'
    body = f'cd {tmp_path}; echo >> runs\ncat <<END\n{{"kind": "ExecCredential", "status": {status}}}\nEND'
    program = write_script(tmp_path / "program", body)
    plugin = ExecPlugin(str(program), _V1, environment=(("RUN_BY", "us"),))
    credentials = ExecCredentials(timeout_seconds=20, clock=lambda: now[0])
    assert not credentials.forget()
    assert [credentials.get(plugin).token for _ in range(2)] == ["us-1", "us-1"]
    now[0] += timedelta(seconds=55)
    assert credentials.get(plugin).token == "us-2"
    now[0] = _NOW
    assert credentials.forget()
    assert credentials.get(plugin).token == "us-3"
    assert repr(credentials) == "<ExecCredentials kept>"


def test_a_program_is_told_what_it_needs(tmp_path):
    authority = tmp_path / "ca.crt"
    authority.write_bytes(b"ca")
    assert json.loads(dump_request(ExecPlugin("x", _V1))) == {
        "apiVersion": _V1,
        "kind": "ExecCredential",
        "spec": {"interactive": False},
    }
    cluster = {"server": "https://a", "certificate-authority-data": authority}
    spec = json.loads(dump_request(ExecPlugin("x", _V1, cluster=cluster)))["spec"]
    assert spec["cluster"] == {"server": "https://a", "certificate-authority-data": "Y2E="}
    cluster = {"certificate-authority-data": tmp_path / "none"}
    with pytest.raises(CredentialsError, match="No such file"):
        dump_request(ExecPlugin("x", _V1, cluster=cluster))


def test_who_lacks_the_program_is_told_how_to_get_it():
    credentials = ExecCredentials(timeout_seconds=20)
    with pytest.raises(CredentialsError, match="no such program on PATH; apt install it"):
        credentials.get(ExecPlugin("no-such-program", _V1, install_hint="apt install it"))
    with pytest.raises(CredentialsError, match="on PATH"):
        credentials.get(ExecPlugin("no-such-program", _V1))


def test_an_answer_may_be_a_certificate():
    answer = parse_answer(
        _answer(clientCertificateData="cert", clientKeyData="hush"), source="program"
    )
    assert answer == ExecCredential(certificate=b"cert", key=b"hush")
    assert "hush" not in repr(answer)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"hush", "no ExecCredential"),
        (b'{"kind": "Other", "status": {"token": "hush"}}', "no ExecCredential"),
        (b'{"kind": "ExecCredential"}', "no ExecCredential"),
        (_answer(token="hush", expirationTimestamp="soon"), "no ExecCredential"),
        (_answer(), "neither token nor certificate"),
        (_answer(token="hush", clientKeyData="hush"), "not both"),
    ],
    ids=["no json", "other", "no status", "no time", "empty", "half"],
)
def test_what_is_no_answer_is_told_without_it(raw, reason):
    with pytest.raises(CredentialsError, match=reason) as raised:
        parse_answer(raw, source="/bin/program")
    assert "hush" not in str(raised.value)
    assert "/bin/program" in str(raised.value)


def test_times_without_a_zone_are_utc():
    text = "2030-01-01T00:00:00"
    assert parse_answer(_answer(token="t", expirationTimestamp=text), source="").expires == _NOW
