import os

from hypothesis import settings

# A busy machine is no failure, and nothing is to be left in the tree. What CI finds, everybody can find again.
settings.register_profile("quick", deadline=None, database=None, derandomize="CI" in os.environ)
settings.load_profile("quick")
