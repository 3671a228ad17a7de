"""The import of a project of the file-based system."""
