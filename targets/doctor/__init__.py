"""What a device is, and what it lacks."""
