//! [`mesh_tests::Relay`] as a process.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_chassis::main::<mesh_tests::Relay>(std::env::args().skip(1))
}
