"""Hosts on which a program runs: this machine, by ssh, by adb."""
