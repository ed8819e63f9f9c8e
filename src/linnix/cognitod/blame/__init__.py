"""Measured stall attribution: who ran, was served or allocated while whom waited."""
