"""The version of Pileus, as hosts and the JSON API's document report it: pyproject.toml's.

Written here, too, because the services run from a source tree that nobody has installed.
"""

VERSION = "0.2.0"
