"""Processes beside the application: workers, questions to the engine, the desktop's player."""
