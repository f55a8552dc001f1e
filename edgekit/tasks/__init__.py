"""What a network is for, behind one contract."""
