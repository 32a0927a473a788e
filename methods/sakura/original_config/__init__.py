"""original_config."""
