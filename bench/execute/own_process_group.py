"""Leave the driver's process group; only the process server imports this.

``timeout``, a batch system or a closed terminal signal the whole group. A server that ended by
such a signal would look as if every running fit had failed; the driver ends both itself.
"""

import os

os.setpgid(0, 0)
