"""Advice on a method for data without labels, and the measured error of the advice."""
