"""The world an ACME client lives in here: a certificate authority, the DNS it asks and the web server it looks at."""
