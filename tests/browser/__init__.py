"""The tests of the page that `minnet explain` writes, in a browser."""
