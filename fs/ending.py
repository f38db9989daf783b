"""How a server is asked to end: taking its mounts away, or leaving them to the next one."""

import trio


class Ending:
    """Set once, waited for by the server and by whoever has something to leave or to take away.

    Attributes:
        hands_over: whether mounts are left to a successor.
    """

    def __init__(self) -> None:
        self._asked = trio.Event()
        self.hands_over = False

    def __repr__(self) -> str:
        state = ("hand over" if self.hands_over else "unmount") if self._asked.is_set() else "no"
        return f"<Ending {state}>"

    def unmount(self) -> None:
        """Asks for an end that leaves nothing mounted."""
        self._asked.set()

    def hand_over(self) -> None:
        """Asks for an end that leaves to the next server whatever it can go on with."""
        self.hands_over = not self._asked.is_set()
        self._asked.set()

    @property
    def takes_mounts_away(self) -> bool:
        """Whether it was asked for, and nothing is left; not so when the server ends by a failure."""
        return self._asked.is_set() and not self.hands_over

    async def wait(self) -> None:
        """Returns when either was asked for."""
        await self._asked.wait()
