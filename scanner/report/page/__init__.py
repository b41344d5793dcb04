"""A scan as one HTML page, and the guarded page that the other pages are built on."""
