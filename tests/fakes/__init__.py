"""Stand-ins for devices that a machine without GPU lacks."""
