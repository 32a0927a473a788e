"""Shared parts of the neural methods; modules here import torch and are imported inside fits."""
