"""Make Ziggy signatures with nothing but the standard library."""
