//! The binary `fulfillment`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_chassis::main::<mesh_fulfillment::Fulfillment>(std::env::args().skip(1))
}
