"""The scenarios: one module for each image, and the files that it uses."""
