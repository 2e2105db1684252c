//! How settings are read from the environment: every problem is reported at once.
