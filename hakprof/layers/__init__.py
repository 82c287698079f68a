"""Layers: rules that name the parts of the stack, and the attribution of every sample to one of them."""

from hakprof.layers.attribute import Attribution, attribute
from hakprof.layers.rules import UNATTRIBUTED, RuleSet, load_rules

__all__ = ("UNATTRIBUTED", "Attribution", "RuleSet", "attribute", "load_rules")
