"""Is this backward pass right, and what does each mistake look like?"""
