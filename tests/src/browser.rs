//! A real browser: Chromium without a window, told what to do by WebDriver (<https://www.w3.org/TR/webdriver2>).
//!
//! chromedriver and all it starts are one process group, under a shell that ends it when our pipe to the shell ends: no
//! browser outlives the test, however that ends.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::Method;
use rustix::process::{Pid, Signal, geteuid, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Http, eventually, manifests::root};

/// Longer than anything takes here, also on a machine that is busy: the start of a browser, the load of a page, a script.
const LIMIT: Duration = Duration::from_secs(120);
/// The driver in the background; at the end of the input everybody in the group is killed.
const KEEPER: &str = "chromedriver --port=0 </dev/null & cat >/dev/null; kill -KILL 0";
/// Held down together with another.
const SHIFT: char = '\u{e008}';
/// Nothing but the page: no requests of its own, no GPU, no shared memory that containers have too little of; and all of
/// the width is the page's, as on a telephone.
const ARGUMENTS: [&str; 11] = [
    "--headless",
    "--hide-scrollbars",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-breakpad",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
];

/// A browser with one page; dropping it ends it and deletes all it has written.
#[derive(Debug)]
pub struct Browser {
    driver: Http,
    session: String,
    _group: Group,
    folder: TempDir,
}

/// What a page is drawn for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// The shell and all below it.
#[derive(Debug)]
struct Group(Child);

impl Browser {
    /// Starts one, with a profile of its own.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder to run in");
        let (group, output) = Group::start(folder.path());
        let said = || async {
            let text = fs::read_to_string(&output).unwrap_or_default();
            let port = text.split("successfully on port ").nth(1);
            let port = port.and_then(|rest| rest.split_once('.')?.0.parse().ok());
            port.ok_or(text)
        };
        let port: u16 = eventually(
            LIMIT,
            "chromedriver (scripts/setup test) says its port",
            said,
        )
        .await;
        let mut browser = Self {
            driver: Http::new(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            session: String::new(),
            _group: group,
            folder,
        };
        let capabilities = browser.capabilities();
        let session = browser
            .command(Method::POST, "/session", capabilities)
            .await;
        let session = session.unwrap_or_else(|refused| panic!("no browser: {refused}"));
        let id = session["sessionId"].as_str().expect("a session has an id");
        browser.session = format!("/session/{id}");
        browser
    }

    fn capabilities(&self) -> Value {
        let profile = format!(
            "--user-data-dir={}",
            self.folder.path().join("profile").display()
        );
        let mut arguments = Vec::from(ARGUMENTS);
        arguments.push(&profile);
        if geteuid().is_root() {
            arguments.push("--no-sandbox");
        }
        let limit = u64::try_from(LIMIT.as_millis()).expect("some seconds");
        json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "timeouts": { "script": limit, "pageLoad": limit },
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
        } } })
    }

    /// Where everything is that it writes.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Opens an address and waits until the page is loaded.
    pub async fn go(&self, url: &str) {
        self.order("/url", json!({ "url": url })).await;
    }

    /// The address of the page.
    pub async fn url(&self) -> String {
        text(&self.ask("/url").await)
    }

    /// Clicks on an element as a person does, once there is one; it must be visible and not covered.
    pub async fn click(&self, css: &str) {
        let click = || async {
            let element = self.find(css).await?;
            let path = format!("{}/element/{element}/click", self.session);
            self.command(Method::POST, &path, json!({})).await
        };
        eventually(LIMIT, &format!("a click on {css}"), click).await;
    }

    /// Presses keys one after the other, as WebDriver names them; with Shift held down or without.
    pub async fn press(&self, keys: &[char], with_shift: bool) {
        let down = |key: char| json!({ "type": "keyDown", "value": key });
        let up = |key: char| json!({ "type": "keyUp", "value": key });
        let mut acts: Vec<Value> = keys.iter().flat_map(|key| [down(*key), up(*key)]).collect();
        if with_shift {
            acts.insert(0, down(SHIFT));
            acts.push(up(SHIFT));
        }
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": acts });
        self.order("/actions", json!({ "actions": [keyboard] }))
            .await;
    }

    /// The visible text of an element, once there is one.
    pub async fn text(&self, css: &str) -> String {
        let look = || async {
            let element = self.find(css).await?;
            let path = format!("{}/element/{element}/text", self.session);
            self.command(Method::GET, &path, Value::Null).await
        };
        text(&eventually(LIMIT, &format!("an element {css}"), look).await)
    }

    /// An attribute of every element there is now; empty where an element has none.
    pub async fn attributes(&self, css: &str, name: &str) -> Vec<String> {
        let script = "return [...document.querySelectorAll(arguments[0])].map(e => e.getAttribute(arguments[1]) ?? '')";
        let found = self.run(script, json!([css, name])).await;
        found.as_array().expect("a list").iter().map(text).collect()
    }

    /// What a script returns; a promise is awaited.
    ///
    /// # Panics
    ///
    /// When it throws.
    pub async fn run(&self, script: &str, arguments: Value) -> Value {
        self.order(
            "/execute/sync",
            json!({ "script": script, "args": arguments }),
        )
        .await
    }

    /// Makes the page so large, in CSS pixels: narrower than any window can be.
    pub async fn resize(&self, width: u32, height: u32) {
        let parameters =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", parameters)
            .await;
    }

    /// What people have chosen in their system.
    pub async fn prefer(&self, scheme: Scheme) {
        let value = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// What is seen of the page, as PNG.
    ///
    /// # Panics
    ///
    /// When there is no picture.
    pub async fn screenshot(&self) -> Vec<u8> {
        let picture = text(&self.ask("/screenshot").await);
        BASE64_STANDARD
            .decode(picture)
            .expect("base64, says WebDriver")
    }

    /// What the browser had to complain about since it was last asked: errors of scripts, what could not be loaded, what
    /// the page's security policy forbade.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.log("browser").await.into_iter();
        let complaints =
            entries.filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        complaints.map(|entry| text(&entry["message"])).collect()
    }

    /// Every address the page has asked for since this was last called, but for what is in itself or in the browser.
    ///
    /// # Panics
    ///
    /// When the log of the browser is not as expected.
    pub async fn requests(&self) -> Vec<String> {
        let entries = self.log("performance").await.into_iter();
        let messages = entries.map(|entry| -> Value {
            let message = serde_json::from_str(&text(&entry["message"]));
            message.expect("the log has JSON in it")
        });
        messages
            .filter(|event| event["message"]["method"] == "Network.requestWillBeSent")
            .map(|event| text(&event["message"]["params"]["request"]["url"]))
            .filter(|url| !url.starts_with("data:") && !url.starts_with("chrome:"))
            .collect()
    }

    /// What hinders people who cannot see or point well, found by axe: rule and elements.
    ///
    /// # Panics
    ///
    /// When there is no axe.
    pub async fn barriers(&self) -> Vec<String> {
        let file = root().join("target/tools/axe.min.js");
        let axe = fs::read_to_string(file).expect("scripts/setup test installs axe");
        let look =
            "return axe.run(document, { preload: false }).then(found => found.violations.map(
            rule => `${rule.id}: ${rule.help}: ${rule.nodes.map(node => node.html).join(', ')}`))";
        let found = self.run(&format!("{axe}\n{look}"), json!([])).await;
        found.as_array().expect("a list").iter().map(text).collect()
    }

    async fn find(&self, css: &str) -> Result<String, String> {
        let path = format!("{}/element", self.session);
        let how = json!({ "using": "css selector", "value": css });
        let found = self.command(Method::POST, &path, how).await?;
        let mut ids = found
            .as_object()
            .into_iter()
            .flat_map(|found| found.values());
        Ok(text(ids.next().expect("an element has an id")))
    }

    async fn log(&self, kind: &str) -> Vec<Value> {
        match self.order("/se/log", json!({ "type": kind })).await {
            Value::Array(entries) => entries,
            other => panic!("no log: {other}"),
        }
    }

    async fn devtools(&self, command: &str, parameters: Value) {
        self.order(
            "/goog/cdp/execute",
            json!({ "cmd": command, "params": parameters }),
        )
        .await;
    }

    async fn ask(&self, path: &str) -> Value {
        self.done(Method::GET, path, Value::Null).await
    }

    async fn order(&self, path: &str, body: Value) -> Value {
        self.done(Method::POST, path, body).await
    }

    async fn done(&self, method: Method, path: &str, body: Value) -> Value {
        let done = self
            .command(method, &format!("{}{path}", self.session), body)
            .await;
        done.unwrap_or_else(|refused| panic!("{path}: {refused}"))
    }

    /// Refusals are in WebDriver's words.
    async fn command(&self, method: Method, path: &str, body: Value) -> Result<Value, String> {
        let request = self.driver.request(method, path).within(LIMIT);
        let request = if body.is_null() {
            request
        } else {
            request.json(&body)
        };
        let answer = request.send().await;
        let mut said = answer.json();
        let value = said["value"].take();
        if answer.status == 200 {
            return Ok(value);
        }
        let [error, message] = ["error", "message"].map(|name| text(&value[name]));
        Err(format!("{error}: {message}"))
    }
}

impl Group {
    /// Starts the driver, and says where it writes what it has to say. Whatever any of them writes goes into the folder.
    fn start(folder: &Path) -> (Self, std::path::PathBuf) {
        let output = folder.join("chromedriver.out");
        let file = File::create(&output).expect("the folder is writable");
        let shell = Command::new("sh")
            .args(["-c", KEEPER])
            .env("HOME", folder)
            .env("TMPDIR", folder)
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_CACHE_HOME")
            .process_group(0)
            .stdin(Stdio::piped())
            .stderr(file.try_clone().expect("it is open"))
            .stdout(file)
            .spawn()
            .expect("there is a shell");
        (Self(shell), output)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let leader = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        // What is gone already needs no end.
        let _gone = leader.map(|leader| kill_process_group(leader, Signal::KILL));
        let _ended = self.0.wait();
    }
}

/// A string as it is; anything else, for those who look for a mistake, as JSON.
fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}
