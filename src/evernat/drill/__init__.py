"""Breaking a gateway's holder on purpose and telling what became of it.

`watch` breaks it and follows address and routes through the API; `lab` adds what only a lab shows: packets, connections
and the moment of detection; `report` puts it on a page.
"""
