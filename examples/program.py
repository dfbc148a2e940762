def compute(xs):
    best = 0
    while xs:
        best += xs.pop()
    return best
