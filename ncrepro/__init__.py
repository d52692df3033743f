"""Which pre-trained model should I fine-tune? Neural-collapse transferability metrics, their baselines and their experiments."""

__version__ = "0.1.0"
