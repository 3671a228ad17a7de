"""Runs the acceptance checks of an item, in the folder where the work was done."""
