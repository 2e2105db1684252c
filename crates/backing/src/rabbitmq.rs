//! RabbitMQ.
//!
//! One that is killed within a second of the declaration of a quorum queue may find no leader for it afterwards: the queue's
//! log was not written yet.

use std::{
    ffi::OsString,
    io,
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

use crate::{
    Error, Server, find,
    place::{Place, Plan},
    wire,
};

pub(crate) const PROGRAMS: [(&str, &str); 2] = [
    ("rabbitmq-server", "rabbitmq-server"),
    ("epmd", "erlang-base"),
];
/// Our own epmd beside the server, so that nobody else's is met and none is left behind. `exec`: the number of the server is
/// that of the shell, and not of a script that waits for it.
const START: &str = r#"epmd -port "$ERL_EPMD_PORT" -address 127.0.0.1 & exec rabbitmq-server"#;

pub(crate) fn plan(place: &Place) -> Result<Plan, Error> {
    let server = find::program(place.kind, "rabbitmq-server", "rabbitmq-server")?;
    find::program(place.kind, "epmd", "erlang-base")?;
    let management = if place.management.is_some() {
        "[rabbitmq_management].\n"
    } else {
        "[].\n"
    };
    place.write("enabled_plugins", management)?;
    place.write("rabbitmq.conf", &configuration(place))?;
    let folder = server.parent().map(Into::into);
    let path = find::path();
    let folders = folder.into_iter().chain(std::env::split_paths(&path));
    let path = std::env::join_paths(folders).unwrap_or(path);
    Ok(Plan {
        command: ["sh", "-c", START].map(OsString::from).to_vec(),
        environment: environment(place, path),
        // It listens a little before.
        started: "Server startup complete",
        stop: "TERM",
        farewell: "",
    })
}

fn configuration(place: &Place) -> String {
    let mut text = format!(
        "listeners.tcp.1 = 127.0.0.1:{}\n\
         disk_free_limit.absolute = 1MB\n\
         # A share of the memory would be little on a small machine, and then it takes no messages.\n\
         vm_memory_high_watermark.absolute = 1GB\n",
        place.port
    );
    if let Some(port) = place.management {
        text += &format!("management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n");
    }
    text
}

fn environment(place: &Place, path: OsString) -> Vec<(&'static str, OsString)> {
    let [epmd, distribution] = place.others.map(|port| OsString::from(port.to_string()));
    let at = |name: &str| place.folder.join(name).into_os_string();
    vec![
        ("PATH", path),
        // Where the cookie is made.
        ("HOME", at("")),
        ("ERL_EPMD_PORT", epmd),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        ("RABBITMQ_NODENAME", "mesh@localhost".into()),
        ("RABBITMQ_DIST_PORT", distribution),
        ("RABBITMQ_MNESIA_BASE", at("data")),
        ("RABBITMQ_LOG_BASE", at("logs")),
        ("RABBITMQ_LOGS", "-".into()),
        ("RABBITMQ_PID_FILE", at("rabbitmq.pid")),
        ("RABBITMQ_CONF_ENV_FILE", at("none")),
        ("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins")),
        // The script becomes the server instead of waiting for it.
        ("RUNNING_UNDER_SYSTEMD", "true".into()),
        // One scheduler, which sleeps when there is nothing to do.
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none".into(),
        ),
    ]
}

/// A method frame (1) of channel 0 asks who we are.
pub(crate) fn answers(port: u16) -> io::Result<bool> {
    Ok(wire::ask(port, b"AMQP\0\0\x09\x01", 3)? == [1, 0, 0])
}

pub(crate) fn url(place: &Place) -> String {
    format!("amqp://guest:guest@127.0.0.1:{}", place.port)
}

/// `rabbitmqctl` with these words, such as `stop_app`, on this server; what it says.
///
/// # Errors
/// It does not obey.
pub fn ctl(server: &Server, words: &[&str]) -> Result<String, Error> {
    let place = server.place();
    let program = find::program(place.kind, "rabbitmqctl", "rabbitmq-server")?;
    let output = Command::new(program)
        .args(words)
        .envs(server.environment())
        .current_dir(&place.folder)
        .process_group(0)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::io(place.kind, "start rabbitmqctl", error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(Error::Failed {
        kind: place.kind,
        what: "rabbitmqctl",
        last_lines: vec![String::from_utf8_lossy(&output.stderr).into_owned()],
    })
}
