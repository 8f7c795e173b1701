"""What a machine has of what Heed needs, looked at without changing it.

No module here imports torch in this process: a broken one is what is to be found out.
"""
