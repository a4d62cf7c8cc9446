"""Models that were made: kept as versions, one of them the champion, and shared through the Hugging Face Hub."""
