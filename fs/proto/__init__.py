"""Generated from control.proto by ``make proto``; not written by hand."""
