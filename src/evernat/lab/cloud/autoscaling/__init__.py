"""Auto Scaling, written anew: moto's keeps no instance alive.

`model` has the records, `reconcile` what happens by itself, `launch` how an instance is chosen, `api_*` the calls.
Source of the behaviour: the EC2 Auto Scaling user guide and API reference.
"""
