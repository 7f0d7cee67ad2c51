"""The HTTP stack that all services share: routes put together, errors as problem details, a process's life."""
