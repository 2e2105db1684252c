//! A RabbitMQ of one's own, to be stopped, killed and started.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const SCRIPT: &str = include_str!("rabbitmq.sh");
/// `guest:guest`, who may log in from this machine only.
const LOGIN: &str = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=";

/// A broker on free ports with its data in a temporary folder; both go with this value or with the process.
#[derive(Debug)]
pub struct RabbitMq {
    amqp: u16,
    management: u16,
    virtual_hosts: AtomicU32,
    console: Mutex<Console>,
}

/// The watcher's ends of the pipes.
#[derive(Debug)]
struct Console {
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    watcher: Child,
}

impl RabbitMq {
    /// Starts one.
    ///
    /// # Panics
    /// RabbitMQ is not installed, or does not start.
    pub fn start() -> Self {
        // Someone else may take a port before the broker does.
        let mut last = String::new();
        for _ in 0..3 {
            match Self::try_start() {
                Ok(broker) => return broker,
                Err(said) => last = said,
            }
        }
        panic!("no RabbitMQ for this test: {last}");
    }

    fn try_start() -> Result<Self, String> {
        let [amqp, management, epmd, distribution] = free_ports()?;
        let ports = [amqp, management, epmd, distribution].map(|port| port.to_string());
        let mut watcher = Command::new("sh")
            .args(["-c", SCRIPT, "rabbitmq.sh"])
            .args(ports)
            .current_dir("/")
            // Ctrl-C in the terminal is for us; the watcher ends when we do.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        let commands = watcher.stdin.take().expect("piped above");
        let answers = BufReader::new(watcher.stdout.take().expect("piped above"));
        let mut console = Console {
            commands,
            answers,
            watcher,
        };
        console.expect("started")?;
        Ok(Self {
            amqp,
            management,
            virtual_hosts: AtomicU32::new(0),
            console: Mutex::new(console),
        })
    }

    /// The URL of a new, empty virtual host.
    ///
    /// # Panics
    /// The broker does not run.
    pub async fn virtual_host(&self) -> String {
        let name = format!("test{}", self.virtual_hosts.fetch_add(1, Ordering::Relaxed));
        let (status, _) = self.manage("PUT", &format!("/api/vhosts/{name}"), "").await;
        assert_eq!(status, 201, "a virtual host of that name is new");
        format!("amqp://guest:guest@127.0.0.1:{}/{name}", self.amqp)
    }

    /// A request to its management API: the status and the body of the answer.
    ///
    /// # Panics
    /// The broker does not run.
    pub async fn manage(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\n{LOGIN}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let place = (Ipv4Addr::LOCALHOST, self.management);
        let mut stream = TcpStream::connect(place).await.expect("the broker runs");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("the broker listens");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .await
            .expect("the broker answers");
        let status = answer
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let body = answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned());
        (status.expect("an answer of HTTP"), body.unwrap_or_default())
    }

    /// `rabbitmqctl` with these words, such as `stop_app`.
    ///
    /// # Panics
    /// It does not obey.
    pub fn ctl(&self, words: &str) {
        self.command(&format!("ctl {words}"));
    }

    /// As a power cut would.
    ///
    /// # Panics
    /// It does not obey.
    pub fn kill(&self) {
        self.command("kill");
    }

    /// After a [`kill`](Self::kill): on the same ports, with the same data.
    ///
    /// # Panics
    /// It does not obey.
    pub fn start_again(&self) {
        self.command("start");
    }

    fn command(&self, command: &str) {
        let mut console = self.console.lock().expect("nobody panics while holding it");
        writeln!(console.commands, "{command}").expect("the watcher reads until we end");
        console.expect(command).expect("the broker obeys");
    }
}

impl Console {
    /// Reads what the watcher says up to `answer`.
    fn expect(&mut self, answer: &str) -> Result<(), String> {
        let mut said = String::new();
        loop {
            let before = said.len();
            match self.answers.read_line(&mut said) {
                Ok(0) | Err(_) => return Err(said),
                Ok(_) if said[before..].trim_end() == answer => return Ok(()),
                Ok(_) => {}
            }
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        // "exit" rather than the end of the pipe, which stays open as long as this value's field does.
        let _ = writeln!(self.commands, "exit");
        let _ = self.watcher.wait();
    }
}

/// Four that are free now, all different.
fn free_ports() -> Result<[u16; 4], String> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listeners = [bind(), bind(), bind(), bind()];
    let mut ports = [0; 4];
    for (port, listener) in ports.iter_mut().zip(listeners) {
        let address = listener.and_then(|listener| listener.local_addr());
        *port = address.map_err(|error| error.to_string())?.port();
    }
    Ok(ports)
}
