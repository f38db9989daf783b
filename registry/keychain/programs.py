"""Runs the programs that hand out credentials: a question on stdin, an answer on stdout, within a time limit. Blocks."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

from registry.errors import CredentialsError

MAX_ANSWER_BYTES: Final = 1 << 20


def run_program(
    command: Sequence[str],
    question: bytes,
    *,
    timeout_seconds: float,
    environment: Mapping[str, str] | None = None,
) -> bytes:
    """Runs a program and returns what it printed; without a shell, in a process group that does not outlive this call.

    Args:
        command: its name, looked for on PATH, or its path; and its arguments.
        question: what it reads.
        timeout_seconds: how long it may take.
        environment: variables besides this process's own.

    Raises:
        ProgramFailedError: it ended with another code than 0.
        CredentialsError: it is not there, takes too long, or prints too much.
    """
    process = _start(command, environment or {})
    with process:
        try:
            answer, complaint = process.communicate(question, timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            reason = f"it gave no answer within {timeout_seconds:g} s"
            raise CredentialsError(command[0], reason) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != 0:
        raise ProgramFailedError(command[0], process.returncode, complaint or answer)
    if len(answer) > MAX_ANSWER_BYTES:
        raise CredentialsError(command[0], "its answer is too large")
    return answer


def _start(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    variables = {**os.environ, **environment}
    path = shutil.which(command[0], path=variables.get("PATH"))
    if path is None:
        raise CredentialsError(command[0], "there is no such program on PATH")
    try:
        return subprocess.Popen(  # noqa: S603 - named by the administrator, without a shell
            [path, *command[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=variables,
            start_new_session=True,
        )
    except OSError as error:
        raise CredentialsError(command[0], error.strerror or "it cannot be run") from None


class ProgramFailedError(CredentialsError):
    """A program ended with another code than 0.

    Attributes:
        code: that code.
        said: what it printed about that.
    """

    def __init__(self, program: str, code: int, said: bytes) -> None:
        self.code = code
        self.said = said[:4096].decode("utf-8", "replace").strip()
        super().__init__(program, f"it ended with {code}: {self.said or 'no reason given'}")
