"""Files of published datasets: location, download and unpacking."""
