"""Tests of the fabric and of the hosts' services."""
