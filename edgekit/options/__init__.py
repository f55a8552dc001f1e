"""What a build may be asked for, each option declared once."""
