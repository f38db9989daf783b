"""The images that are started: Debian's packages in layers, as Dockerfiles would make them.

Built without an image registry; packages and images are kept, and only what is asked for is made. Their layers: the base
system, the groups of packages one after the other, and last the application.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.ctr import run_command
from tests.e2e.debian_packages import PackageSet, configure, make_merged_root, unpack
from tests.e2e.images import PATH_VARIABLE
from tests.e2e.layered_tree import BuiltImage, LayeredTree, cached_image, cached_layout
from tests.e2e.oci_layout import write_image

SOCKET_DIRECTORY = "bench"  # servers put their socket here; the harness mounts a directory over it
DEFAULT_MODEL_BYTES = 3 << 30
_BUILDER_VERSION = 1  # raise with every change to what is built
_BASE = (
    *("base-files", "base-passwd", "bash", "coreutils", "findutils", "grep", "libc-bin"),
    *("passwd", "sed", "tar", "util-linux", "ca-certificates"),
)
# What the images of languages usually bring along, so that extensions can be built.
_BUILD_TOOLS = ("build-essential", "git", "curl", "libssl-dev", "libpq-dev", "zlib1g-dev")
_ALTERNATIVES = ("blas/libblas.so.3", "lapack/liblapack.so.3")
_MODEL_FILE_BYTES = 1 << 30
_PIECE_BYTES = 4 << 20
_C_SOURCE = '#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n'
_JAVA_SOURCE = (
    'public class Hello { public static void main(String[] a) { System.out.println("hello"); } }\n'
)
_NGINX_CONFIG = f"""\
daemon off;
error_log stderr;
pid /tmp/nginx.pid;
events {{ }}
http {{
    access_log off;
    server {{
        listen unix:/{SOCKET_DIRECTORY}/socket;
        root /var/www/html;
    }}
}}
"""

Prepare = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an image is made.

    Attributes:
        name: its repository.
        groups: packages, one layer for each group.
        prepare: adds the application to the tree.
        inputs: what else ``prepare`` depends on.
    """

    name: str
    groups: Sequence[Sequence[str]]
    prepare: Prepare
    inputs: Sequence[str] = field(default=())

    def is_built(self, cache: Path) -> bool:
        """Whether ``build`` would find it in the cache."""
        return cached_layout(cache, self.name, self._inputs()).exists()

    def build(self, cache: Path) -> BuiltImage:
        """The image, from the cache or made now.

        Raises:
            CommandFailedError: a package cannot be had, or a program in the tree fails.
        """
        cache = cache.resolve()  # apt takes relative paths as its own

        def make(work: Path, layout: Path) -> None:
            self._make(PackageSet(cache / "packages"), work / "root", layout)

        return cached_image(cache, self.name, self._inputs(), make)

    def _inputs(self) -> list[str]:
        groups = [" ".join(group) for group in self.groups]
        return [str(_BUILDER_VERSION), *_BASE, *self.inputs, *groups]

    def _make(self, packages: PackageSet, root: Path, layout: Path) -> None:
        make_merged_root(root)
        tree = LayeredTree(root, layout)
        wanted: list[str] = []
        unpacked: frozenset[str] = frozenset()
        for group in (_BASE, *self.groups):
            wanted += group
            packages.download(wanted)
            closure, archives = packages.closure(wanted), packages.archive_names()
            unpack([archives[name] for name in sorted(closure - unpacked)], root)
            unpacked |= closure
            configure(root)
            tree.add_layer()
        directory = root / SOCKET_DIRECTORY
        directory.mkdir()
        directory.chmod(0o777)
        self.prepare(root)
        tree.add_layer()
        write_image(
            layout, tree.layers, {"Env": [PATH_VARIABLE, "LANG=C.UTF-8"], "WorkingDir": "/"}
        )


def _finish_python(root: Path) -> None:
    """What the packages' own scripts would do: choose the libraries that numpy computes with, and compile modules."""
    for name in _ALTERNATIVES:
        library = next(root.glob(f"usr/lib/*/{name}"))
        (library.parents[1] / library.name).symlink_to(name)
    libraries = [f"/usr/lib/{path.name}" for path in root.glob("usr/lib/python3*")]
    run_command(
        ["chroot", root, "python3", "-m", "compileall", "-q", *libraries], timeout_seconds=300
    )


def _nothing(root: Path) -> None:
    pass


def _add_postgres_account(root: Path) -> None:
    with (root / "etc/passwd").open("a") as accounts:
        accounts.write("postgres:x:999:999::/var/lib/postgresql:/bin/sh\n")
    with (root / "etc/group").open("a") as groups:
        groups.write("postgres:x:999:\n")


def _add_nginx_files(root: Path) -> None:
    (root / "etc/nginx/bench.conf").write_text(_NGINX_CONFIG)
    page = root / "var/www/html/index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("<title>ready</title>\n")
    for name in ("var/log/nginx", "var/lib/nginx"):
        (root / name).mkdir(parents=True, exist_ok=True)


def _add_c_source(root: Path) -> None:
    (root / "src").mkdir()
    (root / "src/main.c").write_text(_C_SOURCE)


def _compile_java(root: Path) -> None:
    (root / "app").mkdir()
    (root / "app/Hello.java").write_text(_JAVA_SOURCE)
    java = next(root.glob("usr/lib/jvm/java-*-openjdk-*/bin"))
    programs = "/" / java.relative_to(root)
    # Java finds its libraries through /proc.
    script = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
    words = ["unshare", "--mount", "sh", "-c", script, str(root), str(programs / "javac")]
    run_command([*words, "/app/Hello.java"], timeout_seconds=120)
    for program in ("java", "javac"):
        (root / "usr/bin" / program).symlink_to(programs / program)


def _add_models(total_bytes: int) -> Prepare:
    def add(root: Path) -> None:
        (root / "models").mkdir()
        numbers = random.Random(0)  # noqa: S311 - content that compresses as badly as weights, the same each time
        for index, start in enumerate(range(0, total_bytes, _MODEL_FILE_BYTES)):
            left = min(_MODEL_FILE_BYTES, total_bytes - start)
            with (root / "models" / f"weights-{index:02}.bin").open("wb") as file:
                while left:
                    left -= file.write(numbers.randbytes(min(_PIECE_BYTES, left)))

    return add


def recipes(*, model_bytes: int = DEFAULT_MODEL_BYTES) -> dict[str, Recipe]:
    """All recipes by name.

    Args:
        model_bytes: how much weights the synthetic AI image carries, in files of 1 GiB.
    """
    python = ("python3", "python3-dev", "python3-venv")
    science = ("python3-numpy", "python3-pandas")
    return {
        recipe.name: recipe
        for recipe in (
            Recipe("tiny", [], _nothing),
            Recipe("python", [_BUILD_TOOLS, python, science], _finish_python, _ALTERNATIVES),
            # The next version of it: rebuilt above the build tools, with the same files.
            Recipe("python-v2", [_BUILD_TOOLS, (*python, *science)], _finish_python, _ALTERNATIVES),
            Recipe("node", [_BUILD_TOOLS, ("nodejs",)], _nothing),
            Recipe("redis", [("redis-server",)], _nothing),
            Recipe("postgres", [("postgresql-15",)], _add_postgres_account),
            Recipe("nginx", [("nginx-light",)], _add_nginx_files, [_NGINX_CONFIG]),
            Recipe("gcc", [("gcc", "libc6-dev", "g++", "make")], _add_c_source, [_C_SOURCE]),
            Recipe("openjdk", [("openjdk-17-jdk-headless",)], _compile_java, [_JAVA_SOURCE]),
            Recipe("ai", [("python3",)], _add_models(model_bytes), [str(model_bytes)]),
        )
    }
