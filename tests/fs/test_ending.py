import trio

from fs.ending import Ending


async def test_the_first_wish_counts() -> None:
    ending = Ending()
    assert (repr(ending), ending.takes_mounts_away) == ("<Ending no>", False)
    ending.unmount()
    ending.hand_over()
    with trio.fail_after(5):
        await ending.wait()
    assert (repr(ending), ending.takes_mounts_away) == ("<Ending unmount>", True)


async def test_a_successor_can_be_left_everything() -> None:
    ending = Ending()
    ending.hand_over()
    ending.unmount()
    await ending.wait()
    assert (repr(ending), ending.takes_mounts_away) == ("<Ending hand over>", False)
