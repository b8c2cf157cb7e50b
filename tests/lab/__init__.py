"""The tests of minnet/learning/."""
