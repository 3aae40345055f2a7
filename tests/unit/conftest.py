from hypothesis import settings

# A busy machine is no failure, and nothing is to be left in the tree.
settings.register_profile("quick", deadline=None, database=None)
settings.load_profile("quick")
