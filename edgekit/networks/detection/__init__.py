"""Networks for detection: their ends, and what makes boxes of their outputs."""
