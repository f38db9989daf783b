import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from estargz.toc import TOC_DIGEST_ANNOTATION
from registry.digest import Digest
from registry.host_settings import HostSettings
from registry.keychain.credential_settings import CredentialSettings, KubernetesSettings
from registry.manifest import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER_GZIP,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    dump_manifest,
)
from registry.proxies import ProxySettings
from registry.reference import Reference
from registry.settings import ClientSettings
from snapshotter.commands.doctor_checks import Finding, Outcome
from snapshotter.commands.image_options import host_platform
from snapshotter.commands.registry_checks import check_registry
from tests.fakes.api_server import FakeApiServer
from tests.fakes.registry import FakeRegistry, Fault
from tests.registry.kubeconfigs import write_kubeconfig

_NAME = "team/app"
_LAYER = b"layer" * 1000
_LAZY = {TOC_DIGEST_ANNOTATION: str(Digest.of(b"toc"))}


def _put_image(fake: FakeRegistry, annotations: dict[str, str] | None = None) -> None:
    """An image of two layers behind an index, the first layer being lazy."""
    config = Descriptor(OCI_CONFIG, fake.add_blob(_NAME, b"{}"), 2)
    layer = fake.add_blob(_NAME, _LAYER)
    lazy = Descriptor(OCI_LAYER_GZIP, layer, len(_LAYER), _LAZY)
    second = Descriptor(OCI_LAYER_GZIP, layer, len(_LAYER), annotations or _LAZY)
    raw = dump_manifest(Manifest(OCI_MANIFEST, config, (lazy, second)))
    digest = fake.add_manifest(_NAME, "child", raw, OCI_MANIFEST)
    fake.add_manifest(_NAME, str(digest), raw, OCI_MANIFEST)
    child = Descriptor(OCI_MANIFEST, digest, len(raw), platform=host_platform())
    fake.add_manifest(_NAME, "1", dump_manifest(Index(OCI_INDEX, (child,))), OCI_INDEX)


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as fake:
        _put_image(fake)
        yield fake


@pytest.fixture
def mirror() -> Iterator[FakeRegistry]:
    with FakeRegistry() as mirror:
        yield mirror


@pytest.fixture
def hosts_file(tmp_path: Path, fake: FakeRegistry) -> Path:
    path = tmp_path / fake.host / "hosts.toml"
    path.parent.mkdir()
    return path


@pytest.fixture(autouse=True)
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


def _diagnose(
    fake: FakeRegistry,
    directory: Path,
    name: str = f"{_NAME}:1",
    *,
    credentials: CredentialSettings | None = None,
) -> list[Finding]:
    findings: list[Finding] = []
    settings = ClientSettings(
        hosts=HostSettings((directory,)),
        proxies=ProxySettings(),
        credentials=credentials or CredentialSettings(),
    )
    check_registry(Reference.parse(f"{fake.host}/{name}"), settings, findings.append)
    assert all(finding.advice for finding in findings if finding.outcome is Outcome.PROBLEM)
    return findings


def _outcomes(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.check, finding.outcome.value) for finding in findings]


def test_all_is_well(fake, tmp_path):
    findings = _diagnose(fake, tmp_path)
    assert _outcomes(findings) == [
        ("hosts", "ok"),
        ("reach", "ok"),
        ("credentials", "note"),
        ("manifest", "ok"),
        ("range", "ok"),
        ("lazy", "ok"),
    ]
    what = {finding.check: finding.what for finding in findings}
    assert what["hosts"] == f"{fake.host}: no settings, 1 server"
    assert what["reach"].startswith("answers without TLS, and wants no credentials (HTTP ")
    assert what["lazy"] == "2 of 2 layers have a table of contents"


def test_every_server_is_looked_at_alone(fake, mirror, hosts_file, tmp_path):
    hosts_file.write_text(f'later = 1\n[host."http://{mirror.host}"]\n')
    findings = _diagnose(fake, tmp_path)
    assert _outcomes(findings)[:5] == [
        ("hosts", "ok"),
        ("hosts", "note"),  # a key that means nothing
        ("reach", "ok"),
        ("credentials", "note"),
        ("manifest", "note"),  # the mirror lacks the image
    ]
    assert findings[4].subject == f"http://{mirror.host}/v2/"
    assert _outcomes(findings)[5:] == [
        ("reach", "ok"),
        ("credentials", "note"),
        ("manifest", "ok"),
        ("range", "ok"),
        ("lazy", "ok"),
    ]


def test_a_mirror_that_is_down_is_a_problem(fake, hosts_file, tmp_path):
    with FakeRegistry() as gone:
        hosts_file.write_text(f'[host."http://{gone.host}"]')
    problem = next(f for f in _diagnose(fake, tmp_path) if f.outcome is Outcome.PROBLEM)
    assert (problem.check, problem.subject) == ("reach", f"http://{gone.host}/v2/")
    assert "refused" in problem.what


def test_a_broken_hosts_file_ends_it(fake, hosts_file, tmp_path):
    hosts_file.write_text('[host."m.io"]\ncapabilities = 1')
    (problem,) = _diagnose(fake, tmp_path)
    assert f'{hosts_file}: host."m.io".capabilities' in problem.what


def test_capabilities_decide_what_is_looked_at(fake, mirror, hosts_file, tmp_path):
    _put_image(mirror)
    hosts_file.write_text(
        f'capabilities = ["pull", "resolve"]\n[host."http://{mirror.host}"]\ncapabilities = ["push"]'
    )
    findings = _diagnose(fake, tmp_path)
    assert next(f.what for f in findings if f.check == "manifest") == "is not used for pulls"
    hosts_file.write_text(f'[host."http://{mirror.host}"]\ncapabilities = ["pull"]')
    findings = _diagnose(fake, tmp_path)
    assert next(f.what for f in findings if f.check == "manifest") == "is not asked for tags"


def test_who_knows_credentials_is_told_and_no_secret(fake, docker_config, tmp_path):
    fake.require_token = True
    fake.state.users = {"user": "hunter2"}
    login = {"username": "user", "password": "hunter2"}
    docker_config.write_text(json.dumps({"auths": {fake.host: login}, "credsStore": "missing"}))
    findings = _diagnose(fake, tmp_path)
    problem, good = (finding for finding in findings if finding.check == "credentials")
    assert "docker-credential-missing is passed over" in problem.what
    assert good.what == f"from {docker_config}, {fake.host}"
    assert ("manifest", "ok") in _outcomes(findings)
    reach = next(finding for finding in findings if finding.check == "reach")
    assert f"wants a token from http://{fake.host}/token" in reach.what
    assert "hunter2" not in repr(findings)


def test_secrets_of_kubernetes_are_read_as_the_daemon_does(fake, docker_config, tmp_path):
    fake.state.require_login = True
    fake.state.users = {"user": "hunter2"}
    login = {"auths": {fake.host: {"username": "user", "password": "hunter2"}}}
    with FakeApiServer() as server:
        server.put("team/pull", json.dumps(login).encode())
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server.url)
        credentials = CredentialSettings(kubernetes=KubernetesSettings(kubeconfig))
        findings = _diagnose(fake, tmp_path, credentials=credentials)
        good = next(finding for finding in findings if finding.check == "credentials")
        assert good.what == f"from secret team/pull, {fake.host}"
        assert ("manifest", "ok") in _outcomes(findings)
        server.refuse(403)
        findings = _diagnose(fake, tmp_path, credentials=credentials)
    problem = next(finding for finding in findings if finding.check == "credentials")
    assert f"{server.url} is passed over: 403" in problem.what
    assert "'list' and 'watch' secrets" in problem.advice


def test_wrong_credentials_are_a_problem_of_the_manifest(fake, docker_config, tmp_path):
    fake.state.require_login = True
    login = {"username": "user", "password": "wrong"}
    docker_config.write_text(json.dumps({"auths": {fake.host: login}}))
    findings = _diagnose(fake, tmp_path)
    assert _outcomes(findings)[-1] == ("manifest", "problem")
    assert "docker login" in findings[-1].advice
    assert "wants a password" in findings[1].what


@pytest.mark.parametrize("name", [f"{_NAME}:2", "other/app:1"])
def test_an_image_that_is_nowhere_is_a_problem(fake, tmp_path, name):
    assert _outcomes(_diagnose(fake, tmp_path, name))[-1] == ("manifest", "problem")


def test_a_server_without_ranges_is_a_problem(fake, tmp_path):
    fake.faults.inject(Fault.RANGE_IGNORED, times=9)
    problem = next(f for f in _diagnose(fake, tmp_path) if f.outcome is Outcome.PROBLEM)
    assert (problem.check, "ignores ranges" in problem.what) == ("range", True)


def test_a_server_that_refuses_blobs_is_a_problem(fake, tmp_path):
    fake.faults.inject(Fault.BROKEN, times=99, after=1)  # the first request is the knock
    findings = _diagnose(fake, tmp_path)
    assert ("range", "problem") in _outcomes(findings)


def test_an_image_that_is_not_lazy_is_a_problem(fake, tmp_path):
    _put_image(fake, {"other": "annotation"})
    problem = _diagnose(fake, tmp_path)[-1]
    assert problem.what == "1 of 2 layers have a table of contents"
    assert "pyestargz convert" in problem.advice
