"""Reader of the original's configuration files."""
