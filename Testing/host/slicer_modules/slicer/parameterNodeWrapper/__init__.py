"""Typed access to a module's parameter node, and its connection with the panel's widgets.

The public names and the stored form are Slicer's: values as strings under the parameter's name, nodes as
node references, enumerations by name, lists and dictionaries element by element. Parameter packs and generated
panels are left out.
"""

from .default import *  # noqa: F403
from .guiConnectors import *  # noqa: F403
from .serializers import *  # noqa: F403
from .types import *  # noqa: F403
from .validators import *  # noqa: F403
from .wrapper import *  # noqa: F403
