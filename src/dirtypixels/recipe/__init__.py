"""Recipes: everything that decides a study's numbers, as one checked YAML file."""

from dirtypixels.recipe.conditions import AnyCondition, Condition, Grid, Light, LightRange, Place, Position
from dirtypixels.recipe.load import load_recipe
from dirtypixels.recipe.parts import Count, Data, FineTuning, Head, Positive, Pretraining
from dirtypixels.recipe.study import TRAINED, Method, Recipe
from dirtypixels.recipe.units import Classical, Deblur, Unit

__all__ = [
    "TRAINED", "AnyCondition", "Classical", "Condition", "Count", "Data", "Deblur", "FineTuning", "Grid", "Head",
    "Light", "LightRange", "Method", "Place", "Position", "Positive", "Pretraining", "Recipe", "Unit", "load_recipe",
]  # fmt: skip
