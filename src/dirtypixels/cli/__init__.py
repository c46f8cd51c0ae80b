"""The command `dirtypixels`."""
