//! The process `gateway`, configured by its environment.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_chassis::main::<mesh_gateway::Gateway>(std::env::args().skip(1))
}
