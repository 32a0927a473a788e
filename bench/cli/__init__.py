"""The command line: one module a verb or family of verbs."""
