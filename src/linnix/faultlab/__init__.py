"""The fault laboratory: labelled faults on a real host, recorded as the real daemon sees them."""
