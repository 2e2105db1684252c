//! The binary `inventory`.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh_chassis::main::<mesh_inventory::Inventory>(std::env::args().skip(1))
}
