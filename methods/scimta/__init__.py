"""scIMTA and the two graph autoencoders it grew from, scMGCA and scTAG."""
