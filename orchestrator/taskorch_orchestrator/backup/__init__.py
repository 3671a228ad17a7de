"""Export and restore of a whole namespace."""
