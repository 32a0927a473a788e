"""Methods: one file registers one method; ``nn`` holds what the networks share."""
