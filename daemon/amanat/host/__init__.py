"""The doors to the machine: processes, clock, locks, files, identity, systemd."""
