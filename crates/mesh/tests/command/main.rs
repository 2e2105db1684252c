//! The `mesh` command as people use it: the real binary, real processes, each mesh in a folder and on ports of its own.

#![cfg(test)]

mod crash;
mod dead;
mod harness;
mod load;
mod page;
mod refusals;
mod scale;
mod spans;
mod status;
mod up;
