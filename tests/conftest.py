"""Lets every test below say `from support.headrace import ...`: pytest puts this folder into sys.path."""
