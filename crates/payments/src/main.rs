//! The binary `payments`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_chassis::main::<mesh_payments::Payments>(std::env::args().skip(1))
}
