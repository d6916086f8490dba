"""When requests come: one module for each arrival process; how long they are is for `lengths`."""

import operator
from functools import reduce
from typing import Annotated, Any

from pydantic import Field, GetPydanticSchema

from loadgen.workload.arrivals.process import PROCESSES, Process

__all__ = ["PROCESSES", "Arrivals", "Process"]

PROCESSES.discover(__name__, __path__)

_ANY: Any = Annotated[reduce(operator.or_, PROCESSES.values()), Field(discriminator="process")]

Arrivals = Annotated[Process, GetPydanticSchema(lambda _, handler: handler.generate_schema(_ANY))]
"""A key of a scenario: the registered process that its `process` names, with the parameters of that one."""
