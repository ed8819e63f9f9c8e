"""Small programs that do a known number of one thing and say what they did."""
