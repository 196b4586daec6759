"""The folder in which snapshots lie, and their manifests."""
