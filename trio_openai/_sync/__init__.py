"""The client for threads: each blocking call runs a call of the async client in a trio loop in another thread.

May import everything but `sync.py`, which is its public side. Start reading in `portal.py`.
"""
