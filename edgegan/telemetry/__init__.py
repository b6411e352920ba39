"""What a run leaves behind: the trace, and the statistics read from it."""
