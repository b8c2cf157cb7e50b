"""The data files that ship with minnet, installed as minnet_data; the README beside says what they are."""
