"""From selectors to jobs with their keys."""
