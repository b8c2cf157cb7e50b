"""What is a run, what stays of it, how are many compared?"""
