"""Generated from containerd's interface, spelled in the .proto files, by ``make proto``."""
