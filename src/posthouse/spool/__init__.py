"""Memory that survives: the queue and the mailboxes.  It knows no SMTP."""
