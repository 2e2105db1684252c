//! PostgreSQL.
//!
//! Who may log in as its superuser may start programs as its user: it has a password, which is in the folder.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    process::{Command, Stdio},
};

use rustix::process::geteuid;

use crate::{
    Error, Kind, Server, find,
    place::{Place, Plan},
    wire,
};

const PACKAGE: &str = "postgresql";
pub(crate) const PROGRAMS: [(&str, &str); 3] = [
    ("initdb", PACKAGE),
    ("postgres", PACKAGE),
    ("psql", "postgresql-client"),
];
const PASSWORD: &str = "password";

/// It refuses to run as root. Its own user gets one right of root's with it: to reach a folder of root's.
const NOT_AS_ROOT: [&str; 7] = [
    "setpriv",
    "--reuid=postgres",
    "--regid=postgres",
    "--init-groups",
    "--inh-caps=+dac_override",
    "--ambient-caps=+dac_override",
    "--",
];

pub(crate) fn plan(place: &Place) -> Result<Plan, Error> {
    if !place.folder.join("data").exists() {
        initialize(place)?;
    }
    let mut command = as_its_user();
    command.push(find::program(place.kind, "postgres", PACKAGE)?.into());
    command.extend(["-D".into(), place.folder.join("data").into_os_string()]);
    command.extend(["-p", &place.port.to_string(), "-h", "127.0.0.1"].map(Into::into));
    command.extend(["-c", "unix_socket_directories="].map(Into::into));
    if place.careless {
        let careless = ["-c", "fsync=off", "-c", "full_page_writes=off"];
        command.extend(careless.map(Into::into));
    }
    Ok(Plan {
        command,
        environment: Vec::new(),
        started: "",
        stop: "INT",
        // Its shared memory outlives it otherwise.
        farewell: "QUIT",
    })
}

/// Makes its files, all or none.
fn initialize(place: &Place) -> Result<(), Error> {
    let io = |action| move |error| Error::io(place.kind, action, error);
    let initdb = find::program(place.kind, "initdb", PACKAGE)?;
    write_password(place).map_err(io("write its password"))?;
    let draft = place.folder.join("data.new");
    match fs::remove_dir_all(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io("delete data.new")(error));
        }
        _ => {}
    }
    let mut words = as_its_user();
    words.push(initdb.into());
    words.extend(
        [
            "-D",
            "data.new",
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        .map(Into::into),
    );
    words.extend(["-A", PASSWORD, "--pwfile", PASSWORD].map(Into::into));
    if place.careless {
        words.push("--no-sync".into());
    }
    let output = Command::new(&words[0])
        .args(&words[1..])
        .current_dir(&place.folder)
        .stdin(place.lock().map_err(io("lock its folder"))?)
        .output()
        .map_err(io("start initdb"))?;
    succeeded(&output, "initdb")?;
    fs::rename(&draft, place.folder.join("data")).map_err(io("rename data.new to data"))
}

fn as_its_user() -> Vec<OsString> {
    let prefix = if geteuid().is_root() {
        &NOT_AS_ROOT[..]
    } else {
        &[]
    };
    prefix.iter().map(Into::into).collect()
}

fn write_password(place: &Place) -> io::Result<()> {
    let mut dice = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut dice)?;
    let password: String = dice.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(place.folder.join(PASSWORD))?;
    file.write_all(password.as_bytes())
}

fn password(place: &Place) -> String {
    // There is one as soon as there is a server.
    fs::read_to_string(place.folder.join(PASSWORD)).unwrap_or_default()
}

fn succeeded(output: &std::process::Output, what: &'static str) -> Result<(), Error> {
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Failed {
        kind: Kind::Postgres,
        what,
        last_lines: vec![
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        ],
    })
}

/// While it starts it answers with an error (E), then it asks who we are (R).
pub(crate) fn answers(port: u16) -> io::Result<bool> {
    let question = b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0";
    Ok(wire::ask(port, question, 1)? == b"R")
}

pub(crate) fn url(place: &Place) -> String {
    url_of(place, "postgres")
}

fn url_of(place: &Place, database: &str) -> String {
    let password = password(place);
    let port = place.port;
    format!("postgres://postgres:{password}@127.0.0.1:{port}/{database}")
}

/// The URL of the database of that name (letters, digits and underscores), which is made when there is none.
///
/// # Errors
/// The server does not run.
///
/// # Panics
/// `server` is another kind of server, or `name` is no such name.
pub fn database(server: &Server, name: &str) -> Result<String, Error> {
    let place = server.place();
    assert_eq!(place.kind, Kind::Postgres, "only PostgreSQL has databases");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!(name.chars().all(is_plain), "{name:?} is no plain name");
    let found = psql(
        place,
        &format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'"),
    )?;
    if found.trim() == "0" {
        psql(place, &format!("CREATE DATABASE \"{name}\""))?;
    }
    Ok(url_of(place, name))
}

/// What it answers.
pub(crate) fn psql(place: &Place, sql: &str) -> Result<String, Error> {
    let output = Command::new(find::program(place.kind, "psql", "postgresql-client")?)
        .args(["-X", "-A", "-t", "-q", "-c", sql])
        .args(["-h", "127.0.0.1", "-U", "postgres", "-d", "postgres"])
        .args(["-p", &place.port.to_string()])
        .env("PGPASSWORD", password(place))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Error::io(place.kind, "start psql", error))?;
    succeeded(&output, "psql")?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
