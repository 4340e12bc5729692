"""The explorer: a page that steps forward and backward through a residual block, and through a whole network.

`page/` holds the page, plain ES modules and CSS; everything about the block is computed there, in the browser.
`bundle.py` makes one HTML file of it. `network.py` computes what the network view shows, `server.py` serves both.
"""
