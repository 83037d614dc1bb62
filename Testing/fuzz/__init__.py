"""Coverage-guided fuzzing of what reads strangers' bytes: ``python -m Testing.fuzz readers --seconds 600``."""
