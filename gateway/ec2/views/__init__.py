"""Views.

One function per noun, a proto to the dict that the engine writes as XML. No rules, no calls.
"""
