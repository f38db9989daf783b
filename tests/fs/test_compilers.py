import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from estargz.errors import TocError
from fs.compilers import Compiler, ProcessCompiler, ThreadCompiler
from fs.errors import CompilerLostError
from tests.fs.compilations import BAD_TOC, RAW_TOC, compilation, files


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[ProcessCompiler]:
    async with ProcessCompiler(tmp_path) as compiler:
        yield compiler


@pytest.fixture(params=["process", "threads"])
async def compiler(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Compiler]:
    async with AsyncExitStack() as stack:
        if request.param == "threads":
            yield ThreadCompiler()
        else:
            yield await stack.enter_async_context(ProcessCompiler(tmp_path))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "new"
    path.mkdir()
    return path


async def test_it_makes_what_the_compilation_makes(
    compiler: Compiler, directory: Path, tmp_path: Path
) -> None:
    assert await compiler.compile(compilation(directory), RAW_TOC) > 0
    expected = tmp_path / "expected"
    expected.mkdir()
    compilation(expected).carry_out(RAW_TOC)
    assert files(directory) == files(expected)


async def test_a_rule_that_is_broken_is_named(compiler: Compiler, directory: Path) -> None:
    with pytest.raises(TocError, match="unknown type 'unheard-of'") as raised:
        await compiler.compile(compilation(directory, BAD_TOC), BAD_TOC)
    assert raised.value.entry == "strange"


async def test_what_the_disk_says_is_told(compiler: Compiler, directory: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        await compiler.compile(compilation(directory / "missing"), RAW_TOC)


async def test_many_are_compiled_at_a_time(process: ProcessCompiler, tmp_path: Path) -> None:
    directories = [tmp_path / str(number) for number in range(20)]
    async with trio.open_nursery() as nursery:
        for directory in directories:
            directory.mkdir()
            nursery.start_soon(process.compile, compilation(directory), RAW_TOC)
    assert all("tree" in files(directory) for directory in directories)


async def test_a_child_that_dies_fails_its_compilation_alone(
    process: ProcessCompiler, directory: Path
) -> None:
    with pytest.raises(CompilerLostError):
        await process.compile(compilation("no\0name"), RAW_TOC)  # an exception nobody foresaw
    await process.compile(compilation(directory), RAW_TOC)
    assert "tree" in files(directory)


async def test_when_the_process_is_gone_threads_take_over(
    process: ProcessCompiler, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.kill(process._process.pid, signal.SIGKILL)
    await trio.to_thread.run_sync(process._process.wait)
    for _ in range(2):
        await process.compile(compilation(directory), RAW_TOC)
    assert "tree" in files(directory)
    assert [record.message for record in caplog.records] == [
        "compiler gone: layers are compiled here"
    ]
    assert repr(process) == "<ProcessCompiler gone>"


async def test_it_leaves_no_descriptor_and_no_process(tmp_path: Path, directory: Path) -> None:
    async with ProcessCompiler(tmp_path) as process:
        await process.compile(compilation(directory), RAW_TOC)
        before = descriptors(os.getpid())
        for _ in range(3):
            await process.compile(compilation(directory), RAW_TOC)
        assert descriptors(os.getpid()) == before
        assert descriptors(process._process.pid) == 4  # 0, 1, 2 and the socket
    assert process._process.returncode == 0


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
