"""Is an argument what was expected? How is it said? How are files written that can be trusted?"""
