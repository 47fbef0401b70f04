"""Fitting, pools of adversarial examples, penalties, callbacks (sections 4.2 and 4.3)."""
