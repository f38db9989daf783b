import platform
import subprocess
import sys

_PROGRAM = """
import resource
from fs.heap import keep_freed_memory
assert keep_freed_memory()
def take_in():
    for _ in range(100):
        b"".join([bytes(16 << 10) for _ in range(64)])
take_in()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
take_in()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_memory_that_was_freed_is_used_again():
    command = [sys.executable, "-c", _PROGRAM]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=20)
    # Given back to the kernel, each of the hundred megabytes would cost hundreds of faults.
    assert platform.libc_ver()[0] == "glibc"
    assert int(done.stdout) < 1000
