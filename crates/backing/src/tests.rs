//! Real servers, started, killed, stopped and paused.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::*;
use crate::wire;

/// Keeps a server in a process that another test kills.
const HOLDER: &str = "tests::a_process_that_holds_a_server_and_is_killed";

/// Something that the server shall keep.
fn write(server: &Server) {
    let port = server.port();
    match server.kind() {
        Kind::Postgres => {
            postgres::database(server, "kept").unwrap();
        }
        Kind::RabbitMq => {
            rabbitmq::ctl(server, &["add_vhost", "kept"]).unwrap();
        }
        Kind::Redis => {
            let answer = wire::ask(port, b"SET kept 1\r\n", 3).unwrap();
            assert_eq!(answer, b"+OK");
        }
        Kind::Etcd => {
            etcd(port, "put", r#"{"key":"a2VwdA==","value":"MQ=="}"#);
        }
    }
}

/// Whether it has kept it.
fn has_kept(server: &Server) -> bool {
    let port = server.port();
    match server.kind() {
        Kind::Postgres => {
            let names = "SELECT datname FROM pg_database";
            postgres::psql(server.place(), names)
                .unwrap()
                .contains("kept")
        }
        Kind::RabbitMq => rabbitmq::ctl(server, &["list_vhosts"])
            .unwrap()
            .contains("kept"),
        Kind::Redis => wire::ask(port, b"GET kept\r\n", 5).unwrap() == b"$1\r\n1",
        Kind::Etcd => etcd(port, "range", r#"{"key":"a2VwdA=="}"#).contains("MQ=="),
    }
}

fn etcd(port: u16, call: &str, body: &str) -> String {
    let length = body.len();
    let request = format!(
        "POST /v3/kv/{call} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    );
    String::from_utf8(wire::ask(port, request.as_bytes(), 4096).unwrap()).unwrap()
}

/// Everything that a server must do, on one that starts once.
fn keeps_what_it_was_given(kind: Kind) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("not/there/yet");
    let mut server = Server::start(kind, &place, 0).unwrap();
    let (url, pid) = (server.url(), server.pid().unwrap());
    write(&server);
    assert!(has_kept(&server));

    server.pause();
    assert!(!server.place().answers(), "its clock stands");
    server.resume();
    assert!(has_kept(&server));

    server.kill();
    assert!(!is_a_process(pid));
    assert!(ports::is_free(server.port()));
    assert!(!server.runs());
    assert_eq!(server.pid(), None);
    server.start_again().unwrap();
    assert_eq!(server.url(), url);
    assert!(has_kept(&server));

    server.stop();
    assert!(ports::is_free(server.port()));
    drop(server);
    let mut server = Server::start(kind, &place, 0).unwrap();
    assert!(has_kept(&server));

    // Its own end is noticed, and nothing that it has left is in the way.
    let pid = server.pid().unwrap();
    kill_process(os_pid(pid), Signal::KILL).unwrap();
    wait_until(|| !server.runs());
    assert!(!server.last_lines().is_empty());
    server.start_again().unwrap();
    assert!(has_kept(&server));
}

#[test]
fn postgres_keeps_what_it_was_given() {
    keeps_what_it_was_given(Kind::Postgres);
}

#[test]
fn rabbitmq_keeps_what_it_was_given() {
    keeps_what_it_was_given(Kind::RabbitMq);
}

#[test]
fn redis_keeps_what_it_was_given() {
    keeps_what_it_was_given(Kind::Redis);
}

#[test]
fn etcd_keeps_what_it_was_given() {
    keeps_what_it_was_given(Kind::Etcd);
}

/// A word that is not answered costs a minute: so long `mesh up` hung when a connection ended just as it was told to stop.
#[test]
fn a_server_whose_connections_come_and_go_hears_every_word() {
    let mut server = Server::temporary(Kind::Postgres, Options::default()).unwrap();
    let (port, over) = (server.port(), AtomicBool::new(false));
    let connect = || {
        while !over.load(Ordering::Relaxed) {
            let _ = postgres::answers(port);
        }
    };
    let heard = std::thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(connect)));
        let heard = (0..20).all(|_| {
            let asked = SystemTime::now();
            server.resume();
            asked.elapsed().unwrap_or_default() < Duration::from_secs(30)
        });
        over.store(true, Ordering::Relaxed);
        heard
    });
    assert!(heard);
}

#[test]
fn a_port_that_is_taken_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = Server::start(Kind::Redis, folder.path(), port).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("redis: 127.0.0.1:{port} is already in use")
    );
}

#[test]
fn a_folder_belongs_to_one_server_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let first = Server::start(Kind::Redis, folder.path(), 0).unwrap();
    let error = Server::start(Kind::Redis, folder.path(), 0).unwrap_err();
    assert!(error.to_string().ends_with("is in use by another server"));
    drop(first);
    Server::start(Kind::Redis, folder.path(), 0).unwrap();
}

#[test]
fn a_server_that_cannot_start_is_an_error_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("appendonlydir"), "no folder").unwrap();
    let error = Server::start(Kind::Redis, folder.path(), 0).unwrap_err();
    assert!(
        error.to_string().contains("appendonlydir: Not a directory"),
        "it says what it stumbled over: {error}"
    );
}

#[test]
fn postgres_asks_for_its_password() {
    let server = Server::temporary(Kind::Postgres, Options::default()).unwrap();
    let question = b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0";
    let answer = wire::ask(server.port(), question, 9).unwrap();
    // R, nine bytes, 3: send it.
    assert_eq!(answer, b"R\0\0\0\x08\0\0\0\x03");
    let trusting = postgres::database(&server, "kept").unwrap();
    assert!(trusting.ends_with("/kept"), "{trusting}");
}

#[test]
fn rabbitmq_has_a_management_api_when_asked_for() {
    let options = Options {
        management: Some(0),
        ..Options::default()
    };
    let server = Server::temporary(Kind::RabbitMq, options).unwrap();
    let question = b"GET /api/overview HTTP/1.0\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n";
    let answer = wire::ask(server.management_port().unwrap(), question, 12).unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
}

#[test]
fn nothing_is_left_of_a_process_that_was_killed() {
    for kind in Kind::ALL {
        kind.installed().unwrap();
        let mut holder = Command::new(env::current_exe().unwrap())
            .args([HOLDER, "--exact", "--ignored", "--nocapture"])
            .env("HELD", kind.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
        let held = lines
            .map_while(Result::ok)
            .find_map(|line| line.split_once("holds ").map(|(_, held)| held.to_owned()))
            .unwrap();
        let (pid, folder) = held.split_once(' ').unwrap();
        let pid = pid.parse().unwrap();
        assert!(is_a_process(pid) && Path::new(folder).exists());

        holder.kill().unwrap();
        holder.wait().unwrap();
        wait_until(|| !is_a_process(pid) && !Path::new(folder).exists());
        let left = Command::new("pgrep").args(["-f", folder]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&left.stdout), "", "{kind}");
    }
}

#[test]
#[ignore = "only for the test that kills it"]
fn a_process_that_holds_a_server_and_is_killed() {
    let wanted = env::var_os("HELD").unwrap();
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| *kind.to_string() == *wanted)
        .unwrap();
    let server = Server::temporary(kind, Options::default()).unwrap();
    let folder = server.place().folder.display();
    println!("holds {} {folder}", server.pid().unwrap());
    let mut word = String::new();
    std::io::stdin().read_line(&mut word).unwrap();
}

fn os_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

/// One that has ended is none, even if nobody has waited for it.
fn is_a_process(pid: u32) -> bool {
    let state = Command::new("ps")
        .args(["-o", "stat=", "-p", &pid.to_string()])
        .output()
        .unwrap();
    let state = String::from_utf8_lossy(&state.stdout).trim().to_owned();
    test_kill_process(os_pid(pid)).is_ok() && !state.is_empty() && !state.starts_with('Z')
}

#[expect(
    clippy::disallowed_methods,
    reason = "these tests block, and what they wait for tells nobody"
)]
fn wait_until(such: impl Fn() -> bool) {
    for _ in 0..300 {
        if such() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("not within 30 s");
}
