"""What both commands share: arguments, output and errors."""
