"""What of the documentation is generated: the command line, the settings, the modules.

`pages.reference` gives the pages as text; `hooks.py` hands them to mkdocs. Another generator of
sites can write them into files.
"""
