"""Tables, statistics, figures and the HTML page."""
