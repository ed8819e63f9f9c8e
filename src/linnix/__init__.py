"""Linnix: sees every process on a Linux host, measures who makes whom wait, and explains it in checked words."""

__version__ = "0.1.0"
