//! Sending messages: e-mail, a spool directory, webhooks. A message in, an outcome out.
