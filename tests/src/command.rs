//! The end of a program behind a script: it found problems, or it did not.

use std::process::ExitCode;

use clap::Parser;

/// A bad command line.
const USAGE: u8 = 64;

/// Reads the command line and runs; exits 0 when that finds no problems, 1 when it does or cannot be done, each said on a
/// line of its own, and 64 on a bad command line.
pub fn command<O: Parser>(run: impl FnOnce(&O) -> anyhow::Result<Vec<String>>) -> ExitCode {
    let options = match O::try_parse() {
        Ok(options) => options,
        Err(error) => {
            let asked = !error.use_stderr();
            // Nobody reads it when it cannot be written.
            let _ = error.print();
            return if asked {
                ExitCode::SUCCESS
            } else {
                USAGE.into()
            };
        }
    };
    match run(&options) {
        Ok(problems) if problems.is_empty() => ExitCode::SUCCESS,
        Ok(problems) => fail::<O>(&problems),
        Err(error) => fail::<O>(&[format!("{error:#}")]),
    }
}

#[expect(clippy::print_stderr, reason = "it is a command")]
fn fail<O: Parser>(problems: &[String]) -> ExitCode {
    for problem in problems {
        eprintln!("{}: {problem}", O::command().get_name());
    }
    ExitCode::FAILURE
}
