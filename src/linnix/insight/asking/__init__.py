"""Asking a language model: an address, one question against a clock, and what is made of the answer."""
