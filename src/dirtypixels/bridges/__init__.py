"""Bridges to other libraries: what they have works here, and the other way round. Each is imported on first use."""
