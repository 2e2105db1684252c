//! Receives spans by OTLP, keeps the newest traces in bounded memory, and shows what happened to a request.
