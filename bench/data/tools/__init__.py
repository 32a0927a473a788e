"""Tools that write a new file of data: annotate paired data, join batches or two species."""
