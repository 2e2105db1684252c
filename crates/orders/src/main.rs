//! The orders process.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_chassis::main::<mesh_orders::Orders>(std::env::args().skip(1))
}
