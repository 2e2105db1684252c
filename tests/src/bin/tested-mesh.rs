//! The `mesh` command under another name: cargo builds a package's own binaries before its tests, not another's.

use std::process::ExitCode;

fn main() -> ExitCode {
    mesh::main()
}
