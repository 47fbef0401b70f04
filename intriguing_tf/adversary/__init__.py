"""Minimal adversarial examples by box-constrained L-BFGS (section 4.1)."""
