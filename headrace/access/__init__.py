"""Who may do what: keys, tokens, scopes and quotas, checked before a request reaches its handler."""
