"""The agent that runs on every node. Standard library only, Python >= 3.9; travels as these very files in user data."""
