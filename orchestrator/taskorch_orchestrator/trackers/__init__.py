"""Files of other trackers: their open work becomes items of a project."""
