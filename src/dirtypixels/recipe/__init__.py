"""Recipes: everything that decides a study's numbers, as one checked YAML file."""

from dirtypixels.recipe.conditions import AnyCondition, Condition, Grid, Light, LightRange, Place, Position
from dirtypixels.recipe.load import in_todays_keys, load_recipe
from dirtypixels.recipe.parts import Count, Data, FineTuning, Head, Positive, Pretraining
from dirtypixels.recipe.study import TRAINED, Method, Recipe
from dirtypixels.recipe.units import AnyUnit, Classical, Deblur, Network, ProximalGradient, ResidualCNN, UNet, Unit

__all__ = [
    "TRAINED", "AnyCondition", "AnyUnit", "Classical", "Condition", "Count", "Data", "Deblur", "FineTuning", "Grid",
    "Head", "Light", "LightRange", "Method", "Network", "Place", "Position", "Positive", "Pretraining",
    "ProximalGradient", "Recipe", "ResidualCNN", "UNet", "Unit", "in_todays_keys", "load_recipe",
]  # fmt: skip
