"""The panel: what the user sees and clicks. No torch here."""
