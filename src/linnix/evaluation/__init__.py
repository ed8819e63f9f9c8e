"""How good explanations are, on recorded trouble of which the truth is known."""
