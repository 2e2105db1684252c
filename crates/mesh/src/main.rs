//! The command people type.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh::main()
}
