"""The wire: SMTP and LMTP in both roles, without I/O.  Bytes in, events out; commands in, bytes out."""
