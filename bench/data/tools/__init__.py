"""Tools that make a new file of data: annotate paired data, join two species."""
