from pathlib import Path

from fs.kernel_pins import is_pinned_for_kernel, pin_for_kernel


def test_a_pin_holds_until_the_next_boot(tmp_path: Path) -> None:
    assert not is_pinned_for_kernel(tmp_path)
    pin_for_kernel(tmp_path)
    pin_for_kernel(tmp_path)
    assert is_pinned_for_kernel(tmp_path)
    (pin,) = tmp_path.iterdir()
    pin.write_text("another boot")
    assert not is_pinned_for_kernel(tmp_path)
