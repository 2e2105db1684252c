//! The HTTP edge of the shop: JSON over HTTP in, gRPC out.
