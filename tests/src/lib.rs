//! Harness of the tests that see the mesh from outside.
