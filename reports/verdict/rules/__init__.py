"""The rules of the verdict, a module for each thing that they are about; a function with `@rule` is one.

What is measured for a rule, and needs more than a page, stands a room higher (backlog, shares).
"""

from reports.verdict.rule import RULES

RULES.discover(__name__, __path__)
