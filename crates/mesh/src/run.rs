//! `mesh run <process>`: this binary becomes one process of the mesh.

use std::process::ExitCode;

use crate::cli::RunArgs;

pub(crate) fn run(args: &RunArgs) -> ExitCode {
    let flags = [
        (args.check_config, "--check-config"),
        (args.die_with_parent, "--die-with-parent"),
    ];
    let given = flags.into_iter().filter(|(given, _)| *given);
    args.process.main(given.map(|(_, flag)| flag.to_owned()))
}
