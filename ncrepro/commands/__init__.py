"""What ``make`` calls beside the notebooks: compare with the committed reference, and measure how far repetitions move."""
