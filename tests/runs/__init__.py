"""The tests of minnet; a file for each of the package's, and one for what a newcomer does first."""
