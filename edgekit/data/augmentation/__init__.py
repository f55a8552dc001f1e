"""Varying training photos: crops, photometric and geometric policies, erasing, mixing."""
