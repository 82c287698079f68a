"""Frozen values that the stages hand on. They validate themselves and do no I/O; everybody may import them."""
