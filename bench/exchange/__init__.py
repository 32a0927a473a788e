"""Results of several machines and groups: merged, pulled, pushed and audited, as data only."""
