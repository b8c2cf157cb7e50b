"""The tests of minnet/lab/."""
