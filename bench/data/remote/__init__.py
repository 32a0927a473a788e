"""Files of published datasets: where they lie, how they are downloaded and unpacked."""
