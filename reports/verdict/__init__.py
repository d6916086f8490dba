"""What may be concluded from one run: the rules, and who judges by them."""
