"""The HTML page and the other files of a report."""
