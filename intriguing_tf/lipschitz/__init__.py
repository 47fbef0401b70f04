"""Rigorous upper bounds of the Lipschitz constants of Keras layers and networks (section 4.3)."""
