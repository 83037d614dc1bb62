"""Training and evaluation of transfer models: data, splits, recipe, fit, figures."""
