"""Models outside of a study: saving and loading."""

from dirtypixels.deploy.models import ModelCard, fit_observation, load_model, save_model

__all__ = ["ModelCard", "fit_observation", "load_model", "save_model"]
