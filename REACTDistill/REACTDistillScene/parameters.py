"""Reading the parameters of a module from the scene, whatever version wrote them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any


def readParameters(wrapper: Callable[[Any], Any], node: Any) -> Any:
    """The parameter node in its wrapper; parameters that the wrapper cannot read are reset to defaults, with a warning.

    ``wrapper`` is the class that ``parameterNodeWrapper`` made; it raises ValueError for what it cannot read.
    """
    try:
        return wrapper(node)
    except ValueError as error:  # a scene written by another version
        module = node.GetAttribute("ModuleName")
        logging.warning("%s: the parameters in the scene were reset to defaults (%s).", module, error)
        node.UnsetAllParameters()
        return wrapper(node)
