//! How other commands change the running mesh: a socket in its folder, for its owner alone.
//! One connection, one JSON line in, one JSON line out.

use std::{
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    error::Error,
    process::Process,
    supervisor::Handle,
    view::{self, Phase, View},
};

/// A request is far shorter.
const LONGEST_LINE: u64 = 4096;

/// Commands are few.
const MOST_CONNECTIONS: usize = 16;

/// For the line to come.
const REQUEST_LIMIT: Duration = Duration::from_secs(5);

/// Within it a replica starts, or drains and ends.
const SCALE_LIMIT: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "lowercase")]
pub(crate) enum Request {
    Scale {
        process: Process,
        replicas: u32,
    },
    /// Where is the queue? Nothing is said of the place that processes use by themselves.
    Queue,
    /// How is each replica? A JSON list of [`Told`].
    States,
    /// Why are there no traces? Nothing is said where there is no reason.
    Traces,
}

/// How a replica is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) name: String,
    #[serde(flatten)]
    pub(crate) phase: Phase,
}

/// What does not change while the mesh runs.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The answer to [`Request::Queue`].
    pub(crate) queue: String,
    /// The answer to [`Request::Traces`].
    pub(crate) traces: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    Done(String),
    Refused(String),
}

/// The mesh's end of the socket.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
}

impl Control {
    /// A socket that is there already belongs to a mesh that was killed: we hold the lock of the folder.
    pub(crate) fn bind(path: &Path) -> Result<Self, Error> {
        let bind = || {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let listener = UnixListener::bind(path)?;
            fs::set_permissions(path, Permissions::from_mode(0o600))?;
            Ok(Self { listener })
        };
        bind().map_err(|source| Error::io(format!("listen on {}", path.display()), source))
    }

    pub(crate) async fn serve(self, handle: Handle, facts: Facts) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if connections.len() < MOST_CONNECTIONS => match accepted {
                    Ok((stream, _)) => {
                        connections.spawn(answer(stream, handle.clone(), facts.clone()));
                    }
                    // Out of descriptors, most likely: that does not pass sooner by trying faster.
                    Err(_) => sleep(Duration::from_millis(100)).await,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn answer(stream: UnixStream, handle: Handle, facts: Facts) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let mut limited = (&mut stream).take(LONGEST_LINE);
    let Ok(Ok(_)) = timeout(REQUEST_LIMIT, limited.read_line(&mut line)).await else {
        return;
    };
    let answer = match serde_json::from_str(&line) {
        Ok(Request::Scale { process, replicas }) => scale(&handle, process, replicas).await,
        Ok(Request::Queue) => Answer::Done(facts.queue),
        Ok(Request::Traces) => Answer::Done(facts.traces),
        Ok(Request::States) => Answer::Done(states(&handle.view().borrow())),
        Err(error) => Answer::Refused(format!("not a request: {error}")),
    };
    let text = serde_json::to_string(&answer).expect("an answer is made of strings");
    // Whoever asked may have gone away.
    let _gone = stream.write_all(format!("{text}\n").as_bytes()).await;
}

fn states(view: &View) -> String {
    let told = view.iter().map(|(id, status)| Told {
        name: id.to_string(),
        phase: status.phase.clone(),
    });
    let told: Vec<Told> = told.collect();
    serde_json::to_string(&told).expect("a list is made of strings")
}

async fn scale(handle: &Handle, process: Process, replicas: u32) -> Answer {
    handle.scale(process, replicas).await;
    let settled = handle.until(|view| {
        view::are_ready(view, process, replicas) || obstacle(view, process).is_some()
    });
    let in_time = timeout(SCALE_LIMIT, settled).await.is_ok();
    let watched = handle.view();
    let view = watched.borrow();
    if view::are_ready(&view, process, replicas) {
        return Answer::Done(format!("{process}: {replicas} ready"));
    }
    match obstacle(&view, process) {
        Some(obstacle) => Answer::Refused(obstacle),
        None if in_time => Answer::Refused("the mesh is stopping".to_owned()),
        None => Answer::Refused(format!(
            "{process}: not settled after {} s: {}",
            SCALE_LIMIT.as_secs(),
            unsettled(&view, process)
        )),
    }
}

/// Why there is no use in waiting.
fn obstacle(view: &View, process: Process) -> Option<String> {
    let mut replicas = view.iter().filter(|(id, _)| id.process == process);
    replicas.find_map(|(id, status)| {
        let death = status.failure.as_ref()?;
        let last = death.last_lines.last().cloned().unwrap_or_default();
        Some(format!("{id} {}: {last}", death.reason))
    })
}

fn unsettled(view: &View, process: Process) -> String {
    let replicas = view
        .iter()
        .filter(|(id, status)| id.process == process && status.phase != Phase::Ready);
    let told: Vec<String> = replicas
        .map(|(id, status)| format!("{id} {}", status.phase))
        .collect();
    told.join(", ")
}

/// The other end: asks the mesh that runs in this folder.
pub(crate) async fn ask(path: &Path, request: &Request) -> Result<Answer, Error> {
    let exchange = async {
        let mut stream = BufReader::new(UnixStream::connect(path).await?);
        let line = serde_json::to_string(request)? + "\n";
        stream.write_all(line.as_bytes()).await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        Ok(serde_json::from_str(&line)?)
    };
    exchange
        .await
        .map_err(|source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Error::NotRunning,
            _ => Error::io("ask the running mesh", source),
        })
}
