"""Programs for those who work on evernat."""
