"""Data sets on a hub: named, received at one commit, and laid out as folders of classes."""
