"""Free prose of a larger model, and what of it may be shown."""
