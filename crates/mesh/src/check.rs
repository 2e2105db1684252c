//! Lets every process check its settings before any of them is started, so that all problems are told at once.

use std::process::{Output, Stdio};

use crate::{error::Error, launcher::Launcher, process::Process};

/// All five have their settings from one environment: what one process complains about, the next may too.
pub(crate) async fn settings(launcher: &Launcher) -> Result<(), Error> {
    let mut checks = Vec::new();
    for process in Process::ALL {
        let check = launcher
            .check(process)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::io(format!("start {process}"), source))?;
        checks.push((process, check));
    }
    let mut problems = Vec::new();
    for (process, check) in checks {
        let output = check
            .wait_with_output()
            .await
            .map_err(|source| Error::io(format!("check the settings of {process}"), source))?;
        collect(process, &output, &mut problems);
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::Settings(problems))
}

/// Adds the lines that are not there yet, whoever says them first.
fn collect(process: Process, output: &Output, problems: &mut Vec<String>) {
    if output.status.success() {
        return;
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let speaker = format!("{process}: ");
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let problem = line.strip_prefix(&speaker).unwrap_or(line);
        if !problems.iter().any(|known| known == problem) {
            problems.push(problem.to_owned());
        }
    }
    if problems.is_empty() {
        problems.push(format!("{process}: --check-config failed without a word"));
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt, process::ExitStatus};

    use super::*;

    fn output(code: i32, stderr: &str) -> Output {
        Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: Vec::new(),
            stderr: stderr.as_bytes().to_vec(),
        }
    }

    #[test]
    fn a_problem_of_several_processes_is_told_once() {
        let mut problems = Vec::new();
        collect(
            Process::Gateway,
            &output(64, "gateway: A: bad\ngateway: B: bad\n"),
            &mut problems,
        );
        collect(
            Process::Orders,
            &output(64, "orders: A: bad\n\norders: C: bad\n"),
            &mut problems,
        );
        collect(
            Process::Payments,
            &output(0, "payments: a remark\n"),
            &mut problems,
        );
        assert_eq!(problems, ["A: bad", "B: bad", "C: bad"]);
    }

    #[test]
    fn a_silent_failure_is_no_success() {
        let mut problems = Vec::new();
        collect(Process::Orders, &output(1, ""), &mut problems);
        assert_eq!(problems.len(), 1);
    }
}
