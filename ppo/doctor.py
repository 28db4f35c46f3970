class Watch:
    findings = []

    def update(self, r):
        return []
