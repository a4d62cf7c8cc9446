"""What the service saw and was told: predictions, feedback and, if switched on, images."""
