"""Corpora: reading records, embedding and indexing them, and finding the matches among them."""
