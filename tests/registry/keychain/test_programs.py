import os
import select

import pytest

from registry.errors import CredentialsError
from registry.keychain.programs import MAX_ANSWER_BYTES, ProgramFailedError, run_program
from tests.registry.scripts import write_script


def test_a_question_and_an_answer(tmp_path):
    program = write_script(tmp_path / "program", 'printf "%s %s %s" "$(cat)" "$1" "$WORD"')
    command = [str(program), "argument"]
    answer = run_program(command, b"question", timeout_seconds=20, environment={"WORD": "word"})
    assert answer == b"question argument word"


def test_programs_are_looked_for_on_path(tmp_path, monkeypatch):
    write_script(tmp_path / "some-program", "echo found")
    with pytest.raises(CredentialsError, match=r"some-program .*no such program on PATH"):
        run_program(["some-program"], b"", timeout_seconds=20)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert run_program(["some-program"], b"", timeout_seconds=20) == b"found\n"


def test_what_cannot_be_run_is_told(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF nonsense")
    program.chmod(0o755)
    with pytest.raises(CredentialsError, match="Exec format error"):
        run_program([str(program)], b"", timeout_seconds=20)


def test_failures_are_told_with_what_the_program_says(tmp_path):
    program = write_script(tmp_path / "program", "echo 'no cloud' >&2; exit 3")
    with pytest.raises(ProgramFailedError, match="it ended with 3: no cloud") as caught:
        run_program([str(program)], b"", timeout_seconds=20)
    assert (caught.value.code, caught.value.said) == (3, "no cloud")


def test_a_program_that_takes_too_long_is_ended_with_all_it_started(tmp_path):
    child = tmp_path / "child"
    program = write_script(tmp_path / "program", f"sleep 600 & echo $! > {child}; wait")
    with pytest.raises(CredentialsError, match=r"no answer within 0\.5 s"):
        run_program([str(program)], b"", timeout_seconds=0.5)
    started = child.read_text().split() if child.exists() else []
    assert all(map(_has_ended, started))


def _has_ended(pid: str) -> bool:
    """Waits for the kernel to have carried out what it was told; only init is left to reap it."""
    try:
        descriptor = os.pidfd_open(int(pid))
    except ProcessLookupError:
        return True
    with os.fdopen(descriptor) as process:
        return bool(select.select([process], [], [], 20)[0])


def test_a_program_that_does_not_read_is_no_mistake(tmp_path):
    program = write_script(tmp_path / "program", "echo done")
    assert run_program([str(program)], b"x" * (1 << 20), timeout_seconds=20) == b"done\n"


def test_answers_are_bounded(tmp_path):
    program = write_script(tmp_path / "program", f"head -c {MAX_ANSWER_BYTES + 1} /dev/zero")
    with pytest.raises(CredentialsError, match="too large"):
        run_program([str(program)], b"", timeout_seconds=20)
