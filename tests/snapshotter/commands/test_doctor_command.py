import json
from pathlib import Path

import pytest

from snapshotter.cli import run
from tests.fakes.registry import FakeRegistry


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration with nothing of this machine's."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    path = tmp_path / "config.toml"
    path.write_text(f'[registry]\nconfig_path = "{tmp_path}/certs.d"\n')
    return path


def test_a_problem_is_said_with_what_to_do_and_ends_with_1(config, capsys):
    with FakeRegistry() as fake:
        assert run(["doctor", "--config", str(config), f"{fake.host}/team/app:1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("problem  manifest     http://")
    assert lines[-1].endswith("→ check the name and the tag")


def test_mirrors_of_the_configuration_are_looked_at(config, capsys):
    with FakeRegistry() as fake, FakeRegistry() as mirror:
        with config.open("a") as file:
            file.write(f'[[resolver.host."{fake.host}".mirrors]]\nhost = "{mirror.host}"\n')
        run(["doctor", "--config", str(config), f"{fake.host}/team/app:1"])
    assert f"http://{mirror.host}/v2/" in capsys.readouterr().out


def test_json(config, capsys):
    with FakeRegistry() as fake:
        run(["doctor", "--config", str(config), "--json", f"{fake.host}/team/app"])
    document = json.loads(capsys.readouterr().out)
    assert document["image"] == f"{fake.host}/team/app:latest"
    assert document["healthy"] is False
    assert {finding["check"] for finding in document["findings"]} >= {"hosts", "reach", "manifest"}


def test_without_an_image_nothing_of_a_registry_is_looked_at(config, capsys):
    run(["doctor", "--config", str(config), "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["image"] is None
    assert "reach" not in {finding["check"] for finding in document["findings"]}


def test_a_name_that_is_none_is_a_usage_error(config, capsys):
    assert run(["doctor", "--config", str(config), "Not A Name"]) != 0
    assert "is not an image name" in capsys.readouterr().err
