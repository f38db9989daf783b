"""Images are converted inside a running containerd, out of it and into it, and containerd can use what comes of it."""

import json
from pathlib import Path

import pytest

from registry.digest import Digest
from tests.e2e.containerd import Containerd
from tests.e2e.ctr import CommandFailedError, Ctr, run_command
from tests.e2e.published_image import PublishedImage
from tests.e2e.snapshotter_process import CHECKOUT, cli_argv
from tests.estargz.layouts import Layer, Layout
from tests.real_registry import RealRegistry
from tests.strategies import Node, build_tar

pytestmark = [
    pytest.mark.containerd,
    pytest.mark.registry,
    pytest.mark.timeout(200),
]

_PRINT = ["python3", "-c", "print(1)"]


def _pyestargz(ctr: Ctr, *words: str) -> str:
    access = ("--containerd-address", str(ctr.socket), "--namespace", ctr.namespace)
    command, *rest = words
    return run_command(cli_argv([command, *access, *rest]), cwd=CHECKOUT, timeout_seconds=120)


def _collect_garbage(ctr: Ctr) -> None:
    ctr("leases", "create", "--id", "once")
    ctr("leases", "delete", "--sync", "once")


def test_inside_containerd_and_on_from_there(
    overlay_containerd: Containerd, plain_name: str, lazy_name: str, registry: RealRegistry
) -> None:
    ctr, lazy = overlay_containerd.ctr(), f"{registry.host}/debian-inside:lazy"
    ctr.pull(plain_name)
    _pyestargz(ctr, "convert", f"containerd:{plain_name}", f"containerd:{lazy}")
    ctr("images", "rm", "--sync", plain_name)
    _collect_garbage(ctr)
    assert ctr("leases", "ls", "-q") == ""
    assert lazy in ctr("images", "check", "--snapshotter", "overlayfs")
    ctr("images", "mount", "--snapshotter", "overlayfs", lazy, _directory(overlay_containerd))
    assert ctr.run(lazy, _PRINT, snapshotter="overlayfs") == "1\n"
    ctr.push(lazy)
    # The same bytes as those of a conversion into the registry.
    assert PublishedImage(lazy).manifest == PublishedImage(lazy_name).manifest


def _directory(containerd: Containerd) -> Path:
    directory = containerd.directory / "view"
    directory.mkdir()
    return directory


def test_out_of_containerd_and_back(
    overlay_containerd: Containerd, lazy_name: str, registry: RealRegistry
) -> None:
    ctr, name = overlay_containerd.ctr(), f"{registry.host}/debian-out:lazy"
    # Lazy layers are kept on the way in, and on the way out.
    _pyestargz(ctr, "convert", lazy_name, f"containerd:{name}")
    layers = PublishedImage(lazy_name).layer_digests
    assert set(layers) <= ctr.content_digests()
    # As if containerd had pulled them: they can be mounted when they are pushed there.
    label = f"containerd.io/distribution.source.{registry.host}=debian"
    assert ctr("content", "ls").count(label) == len(layers)
    answer = _pyestargz(ctr, "convert", f"containerd:{name}", name, "--json")
    assert all(layer["kept"] for layer in json.loads(answer)["images"][0]["layers"])
    assert PublishedImage(name).layer_digests == PublishedImage(lazy_name).layer_digests
    assert _pyestargz(ctr, "cat", f"containerd:{name}", "/etc/passwd").startswith("root:")
    assert "good" in _pyestargz(ctr, "verify", f"containerd:{name}")


def _import_two(ctr: Ctr, directory: Path, *, diff_id: str | None = None) -> None:
    """Gives containerd an image for this machine, and one for another with a layer that may be wrong."""
    layout = Layout(directory / "layout")
    images = [
        layout.add_image(
            [Layer(tar=build_tar([Node(name=architecture, content=b"x" * 5000)]), diff_id=wrong)],
            config={"architecture": architecture},
            platform={"os": "linux", "architecture": architecture},
        )
        for architecture, wrong in (("amd64", None), ("s390x", diff_id))
    ]
    layout.name(layout.add_index(images, annotations={"kept": "yes"}))
    index = json.loads((layout.path / "index.json").read_text())
    index["manifests"][0]["annotations"] = {"io.containerd.image.name": "registry.test/two:1"}
    (layout.path / "index.json").write_text(json.dumps(index))
    archive = directory / "two.tar"
    run_command(["tar", "-C", layout.path, "-cf", archive, "."])
    ctr("images", "import", "--all-platforms", "--no-unpack", archive)


def test_all_platforms_and_this_machines(overlay_containerd: Containerd, tmp_path: Path) -> None:
    ctr = overlay_containerd.ctr()
    _import_two(ctr, tmp_path)
    source = "containerd:registry.test/two:1"
    for options, platforms in ([], {"amd64"}), (["--all-platforms"], {"amd64", "s390x"}):
        name = f"registry.test/lazy:{len(platforms)}"
        _pyestargz(ctr, "convert", source, f"containerd:{name}", *options)
        document = json.loads(
            _pyestargz(ctr, "inspect", f"containerd:{name}", "--json", "--platform", "linux/amd64")
        )
        assert [manifest["lazy"] for manifest in document["manifests"]] == [True]
        listed = ctr("images", "ls", f"name=={name}")
        assert {word for word in ("amd64", "s390x") if word in listed} == platforms
    _collect_garbage(ctr)
    assert ctr("images", "check").count("complete") == 3


def test_what_fails_leaves_nothing(overlay_containerd: Containerd, tmp_path: Path) -> None:
    ctr = overlay_containerd.ctr()
    _import_two(ctr, tmp_path, diff_id=str(Digest.of(b"another layer")))
    _collect_garbage(ctr)  # the archive's own index
    before = ctr("images", "ls"), ctr.content_digests()
    names = ("containerd:registry.test/two:1", "containerd:registry.test/lazy:1")
    with pytest.raises(CommandFailedError, match="digest"):
        _pyestargz(ctr, "convert", *names, "--all-platforms")
    _collect_garbage(ctr)
    assert (ctr("images", "ls"), ctr.content_digests()) == before
    assert ctr("leases", "ls", "-q") == ""


def test_an_image_in_containerd_is_optimized(
    overlay_containerd: Containerd, plain_name: str, registry: RealRegistry
) -> None:
    ctr, name = overlay_containerd.ctr(), f"{registry.host}/debian-inside:optimized"
    ctr.pull(plain_name)
    words = (f"containerd:{plain_name}", f"containerd:{name}", "--json", "--", *_PRINT)
    document = json.loads(_pyestargz(ctr, "optimize", *words))
    assert document["sample"]["endedBecause"] == "exit"
    ctr("images", "rm", "--sync", plain_name)
    assert ctr("images", "check").count("complete") == 1
