"""Images: found, split, decoded, augmented, prepared as the network takes them."""
