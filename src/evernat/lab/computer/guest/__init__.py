"""What runs inside an instance of the small kind. Standard library and PyYAML only, Python >= 3.9.

These files are copied into the instance at `/.lab/guest` and run by the machine's own `/usr/bin/python3`, so nothing
here may import from outside this package.
"""
