"""Runs programs under measuring tools and stores what the tools wrote; one file per tool. It parses none of it."""
