"""One network, and images or texts: features."""
