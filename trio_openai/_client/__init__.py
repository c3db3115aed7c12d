"""The client that a program makes: its options, their defaults, and the HTTP client behind it.

May import the endpoints and everything below them. Start reading in `client.py`.
"""
