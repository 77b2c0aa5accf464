// Empty: it lets Go accept the declarations without bodies in internals.go.
