//! A process of the mesh, started again whenever it dies, as Kubernetes would.

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use mesh_tests::Http;
use rustix::{
    io::Errno,
    process::{Pid, Signal, kill_process},
};
use tokio::{
    process::{Child, Command},
    sync::watch,
    time::{Instant, sleep, timeout_at},
};

use crate::faults::again;

/// From its death to its next start.
const PAUSE: Duration = Duration::from_millis(500);
/// From start to ready on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(100);
/// How a process ends at a crash point.
const ABORTED: i32 = 6;
const KILLED: i32 = 9;
/// In the log line of a panic.
const PANIC: &str = r#""panic":"#;

/// One process, through all its lives.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) name: &'static str,
    pub(crate) admin: Http,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    pid: watch::Sender<Option<Pid>>,
    deaths: Mutex<Vec<ExitStatus>>,
    kills: AtomicUsize,
    armed: AtomicUsize,
}

impl Service {
    /// Starts nothing yet. `name` is the process's own, with a number behind it where there are several.
    pub(crate) fn new(
        name: &'static str,
        admin: SocketAddr,
        environment: Vec<(String, String)>,
        folder: &Path,
    ) -> Self {
        Self {
            name,
            admin: Http::new(admin),
            environment,
            folder: folder.to_owned(),
            pid: watch::Sender::new(None),
            deaths: Mutex::default(),
            kills: AtomicUsize::new(0),
            armed: AtomicUsize::new(0),
        }
    }

    /// Keeps it running until `stopping`, and then sees it end.
    pub(crate) async fn supervise(
        &self,
        mut stopping: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        while !*stopping.borrow() {
            let mut child = self.launch()?;
            // It dies with us, however we end.
            let _alive = child.stdin.take();
            self.pid.send_replace(child.id().and_then(pid));
            if *stopping.borrow() {
                // It was started at the last moment: nobody has seen it who could ask it to end.
                self.kill().await?;
            }
            let status = child.wait().await.context(self.name)?;
            self.pid.send_replace(None);
            self.deaths
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(status);
            tokio::select! {
                () = sleep(PAUSE) => {}
                _ = stopping.wait_for(|stopping| *stopping) => {}
            }
        }
        Ok(())
    }

    fn launch(&self) -> anyhow::Result<Child> {
        let open = |kind: &str| {
            let path = self.folder.join(format!("{}.{kind}", self.name));
            let file = File::options().append(true).create(true).open(&path);
            file.with_context(|| format!("cannot write {}", path.display()))
        };
        let own = std::env::current_exe()?;
        Command::new(own.with_file_name("tested-mesh"))
            .args(["run", process_of(self.name), "--die-with-parent"])
            .current_dir(&self.folder)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(open("out")?)
            .stderr(open("err")?)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} does not start", self.name))
    }

    /// Waits until it answers that it is ready.
    pub(crate) async fn ready(&self) -> anyhow::Result<()> {
        let until = Instant::now() + READY_LIMIT;
        let mut last = "no answer".to_owned();
        loop {
            match timeout_at(until, self.admin.get("/readyz").try_send()).await {
                Ok(Ok(answer)) if answer.status == 200 => return Ok(()),
                Ok(Ok(answer)) => last = answer.text(),
                Ok(Err(error)) => last = format!("{error:#}"),
                Err(_) => {}
            }
            let name = self.name;
            ensure!(
                Instant::now() < until,
                "{name} is not ready within {READY_LIMIT:?}: {last}"
            );
            sleep(LOOK).await;
        }
    }

    /// SIGKILL, as soon as it runs.
    pub(crate) async fn kill(&self) -> anyhow::Result<()> {
        self.kills.fetch_add(1, Ordering::Relaxed);
        self.signal(Signal::KILL).await
    }

    /// As soon as it runs: SIGSTOP, and SIGCONT after so long. Whatever else kills it meanwhile is as well.
    pub(crate) async fn pause(&self, length: Duration) -> anyhow::Result<()> {
        self.signal(Signal::STOP).await?;
        sleep(length).await;
        if let Some(pid) = *self.pid.borrow() {
            // It may have ended a moment ago.
            let _ = kill_process(pid, Signal::CONT);
        }
        Ok(())
    }

    /// Has it die where its code says `point`, once that was passed so many times more.
    pub(crate) async fn arm(&self, point: &str, passes: u32) -> anyhow::Result<()> {
        let path = format!("/debug/crash-points/{point}");
        // It may be down at this moment, or die at the next: of another fault, or of this one before it has answered.
        let answer = again(|| async {
            self.ready().await?;
            self.armed.fetch_add(1, Ordering::Relaxed);
            self.admin
                .put(&path)
                .body(passes.to_string())
                .try_send()
                .await
        });
        let answer = answer.await?;
        ensure!(
            answer.status == 204,
            "{} cannot be armed at {point}: {} {}",
            self.name,
            answer.status,
            answer.text()
        );
        Ok(())
    }

    /// SIGTERM, if it runs.
    pub(crate) fn terminate(&self) {
        if let Some(pid) = *self.pid.borrow() {
            // It may have ended a moment ago.
            let _ = kill_process(pid, Signal::TERM);
        }
    }

    /// Waits until it does not run.
    pub(crate) async fn ended(&self) {
        let mut pids = self.pid.subscribe();
        // An error: there is nobody who could start it.
        let _ = pids.wait_for(Option::is_none).await;
    }

    async fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let mut pids = self.pid.subscribe();
        loop {
            let pid = *pids.wait_for(Option::is_some).await?;
            match pid.map(|pid| kill_process(pid, signal)) {
                Some(Ok(())) => return Ok(()),
                // It ended a moment ago, which is about to be known.
                Some(Err(Errno::SRCH)) | None => pids.changed().await?,
                Some(Err(error)) => {
                    return Err(error).with_context(|| format!("{} cannot be reached", self.name));
                }
            }
        }
    }

    /// How often it died at a crash point, and every end that nobody had asked for. To be asked when all is over.
    pub(crate) fn ends(&self) -> (usize, Vec<String>) {
        let deaths = self.deaths.lock().unwrap_or_else(PoisonError::into_inner);
        let by = |signal| {
            deaths
                .iter()
                .filter(move |status| status.signal() == Some(signal))
        };
        let (crashed, killed) = (by(ABORTED).count(), by(KILLED).count());
        let mut odd = Vec::new();
        for (number, status) in deaths.iter().enumerate() {
            let meant = matches!(status.signal(), Some(ABORTED | KILLED));
            // The last end is the one it was asked for.
            let asked = number + 1 == deaths.len() && status.success();
            if !meant && !asked {
                odd.push(format!("{} ended by itself: {status}", self.name));
            }
        }
        for (what, ends, meant) in [
            ("killed", killed, &self.kills),
            ("aborted", crashed, &self.armed),
        ] {
            let meant = meant.load(Ordering::Relaxed);
            if ends > meant {
                let name = self.name;
                odd.push(format!(
                    "{name} was {what} {ends} times, which was meant {meant} times"
                ));
            }
        }
        let log = fs::read(self.folder.join(format!("{}.out", self.name))).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let panics = log.lines().filter(|line| line.contains(PANIC));
        odd.extend(panics.map(|line| format!("{}: {line}", self.name)));
        (crashed, odd)
    }
}

/// Of what it is a replica.
pub(crate) fn process_of(name: &str) -> &str {
    name.split('-').next().unwrap_or(name)
}

fn pid(id: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(id).ok()?)
}
