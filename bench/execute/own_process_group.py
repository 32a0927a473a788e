"""Imported by the process server alone: leaves the driver's process group.

``timeout``, a batch system or a closed terminal signal the whole group. A server that ended with
it would look as if every running fit had failed; the driver ends server and fits by itself.
"""

import os

os.setpgid(0, 0)
