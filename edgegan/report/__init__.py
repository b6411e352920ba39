"""What people look at: text for a terminal. It reads results and measures nothing."""

__all__ = ["text"]
