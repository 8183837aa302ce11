"""What an input is, a file a kind: read, check, normalize, augment, show."""
