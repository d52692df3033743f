"""Where the ground truth comes from: data sets, networks, training, profiles, and the experiment that joins them."""
