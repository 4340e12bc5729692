"""What this site adds to Sphinx, one subject a file. `conf.py` lists them as extensions."""
