"""Makes the documentation: pages and pictures from the code, and the site.

`python -m tools.docs` writes what is made from code into `docs/`; `hook` draws Mermaid text as pictures while the site
is built, so that no program has to be fetched to see them.
"""
