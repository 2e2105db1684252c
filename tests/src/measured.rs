//! Programs that measure, in the small dose of a test: what scripts run for minutes.

use tokio::process::Command;

/// Runs the program to its end; the table that it prints.
///
/// # Panics
///
/// When it finds that its bounds are broken; with what it says.
pub async fn measured(program: &str, arguments: &[&str]) -> String {
    let run = Command::new(program)
        .args(arguments)
        .kill_on_drop(true)
        .output();
    let run = run.await.expect("it is built");
    let [table, problems] = [&run.stdout, &run.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(run.status.success(), "{problems}\n{table}");
    table.into_owned()
}
