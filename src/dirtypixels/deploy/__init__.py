"""Models outside of a study: saving and loading."""

from dirtypixels.deploy.models import ModelCard, load_model, save_model

__all__ = ["ModelCard", "load_model", "save_model"]
