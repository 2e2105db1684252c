//! What travels with a request: trace headers, request id, deadline.
