def is_exact(spec):
    return False
