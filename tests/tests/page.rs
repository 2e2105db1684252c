//! The page that `mesh up` serves, in a real Chromium: two clicks to the first trace, what is broken is seen and heals, each
//! view is for everybody and asks nobody else.

use std::{collections::BTreeMap, fs, time::Duration};

use mesh_tests::{Browser, Mesh, Scheme, eventually, manifests::root};
use serde_json::{Value, json};

/// Much longer than anything takes, also on a machine that does other things.
const LIMIT: Duration = Duration::from_secs(120);
const PROCESSES: [&str; 5] = ["fulfillment", "gateway", "inventory", "orders", "payments"];
/// From a telephone to a desk; heights as they are there.
const SIZES: [(u32, u32); 2] = [(360, 800), (1440, 900)];
/// What lies in between, and the widest.
const WIDTHS: [u32; 4] = [704, 768, 1100, 1600];
const SCHEMES: [(Scheme, &str); 2] = [(Scheme::Light, "light"), (Scheme::Dark, "dark")];
/// A bar of the waterfall.
const ROW: &str = "tr[data-span]";

/// Tables that say all they have to say at any width, and are cut off nevertheless.
const CUT: &str = "return [...document.querySelectorAll('.traces, .waterfall, .controls')]
    .map(table => table.closest('.scroll')).filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.ariaLabel ?? box.id)";
/// Keeps every state that the map shows: some last less long than it takes to ask for them.
const WATCH: &str = "const node = arguments[0];
    const look = () => window.seen.push(document.querySelector(node).dataset.state);
    window.seen = [];
    new MutationObserver(look).observe(document.getElementById('map'), { subtree: true, attributes: true, childList: true });";

/// Keys, as WebDriver names them.
const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';
const SPACE: char = ' ';
/// More than there are on any view.
const STOPS: usize = 200;

/// Where the keyboard is: whether that is such an element, whether one sees it (of what moves in its own box a part will
/// do), and whether it comes behind the one before, as one reads.
const STOP: &str = "const at = document.activeElement, box = at.getBoundingClientRect(), style = getComputedStyle(at);
    const header = document.querySelector('body > header');
    const top = at.closest('body > header, .skip') ? 0 : header.getBoundingClientRect().bottom;
    const isControl = !at.matches('.scroll');
    const isInSight = isControl ? box.top >= top - 1 && box.bottom <= innerHeight + 1 : box.top < innerHeight && box.bottom > top;
    const isMarked = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    const place = window.was ? window.was.compareDocumentPosition(at) : 0;
    window.was = at;
    return { reached: at.matches(arguments[0]), seen: isInSight && isMarked, place, what: at.outerHTML.slice(0, 200) };";

/// A mesh and its page, in a browser.
struct Shown {
    mesh: Mesh,
    browser: Browser,
    origin: String,
}

impl Shown {
    async fn start() -> Self {
        let (mesh, browser) = tokio::join!(Mesh::start(), Browser::start());
        let origin = format!("http://{}", mesh.page_address());
        Self {
            mesh,
            browser,
            origin,
        }
    }

    async fn go(&self, path: &str) {
        self.browser.go(&format!("{}{path}", self.origin)).await;
    }

    /// Two clicks on the map: an order, its trace. Returns when all of it is in the picture, which comes by itself.
    async fn first_trace(&self) {
        self.go("/").await;
        self.browser
            .click("button[name=token_name][value=tok_ok]")
            .await;
        self.browser.click("#see-trace").await;
        self.becomes(
            "every process is in the trace",
            ROW,
            "data-process",
            |found| {
                PROCESSES
                    .iter()
                    .all(|name| found.iter().any(|seen| seen == name))
            },
        )
        .await;
    }

    /// Waits for such attributes, on a page that nobody loads again.
    async fn becomes(&self, what: &str, css: &str, name: &str, such: impl Fn(&[String]) -> bool) {
        eventually(LIMIT, what, || async {
            let found = self.browser.attributes(css, name).await;
            if such(&found) { Ok(()) } else { Err(found) }
        })
        .await;
    }

    /// What the view looks like, in every size and scheme, into `target/screenshots`; nothing of it is beyond the edge.
    async fn draw(&self, view: &str) {
        let folder = root().join("target/screenshots");
        fs::create_dir_all(&folder).expect("target is writable");
        for (width, height) in SIZES {
            self.browser.resize(width, height).await;
            for (scheme, name) in SCHEMES {
                self.browser.prefer(scheme).await;
                let file = folder.join(format!("{view}-{width}-{name}.png"));
                fs::write(file, self.browser.screenshot().await).expect("it is writable");
            }
            self.fits(view, width).await;
        }
        for width in WIDTHS {
            self.browser.resize(width, 900).await;
            self.fits(view, width).await;
        }
    }

    /// The view is as wide as the window, and so are the tables that promise it.
    async fn fits(&self, view: &str, width: u32) {
        let beyond = "return document.documentElement.scrollWidth";
        let seen = self.browser.run(beyond, json!([])).await;
        assert_eq!(seen, width, "{view} is wider than {width} px");
        let cut = self.browser.run(CUT, json!([])).await;
        assert_eq!(cut, json!([]), "{view} is cut off at {width} px");
    }

    /// Nobody is kept out of what is shown now, and nothing went wrong or elsewhere on the way to it.
    async fn is_sound(&self, view: &str) {
        assert_eq!(
            self.browser.complaints().await,
            Vec::<String>::new(),
            "{view}"
        );
        let asked = self.browser.requests().await;
        let own = |url: &String| {
            url.strip_prefix(&self.origin)
                .is_some_and(|path| path.starts_with('/'))
        };
        assert!(
            !asked.is_empty() && asked.iter().all(own),
            "{view}: {asked:?}"
        );
        for (width, height) in SIZES {
            self.browser.resize(width, height).await;
            for (scheme, name) in SCHEMES {
                self.browser.prefer(scheme).await;
                let barriers = self.browser.barriers().await;
                assert_eq!(barriers, Vec::<String>::new(), "{view}, {width} px, {name}");
            }
        }
    }

    /// Tab by Tab to such an element, forward or back, in the order in which one reads; each stop is seen.
    async fn tab_to(&self, css: &str, forward: bool) {
        // Of the DOM: the other one follows, or comes before.
        let (behind, before) = (4, 2);
        let wrong = if forward { before } else { behind };
        for _ in 0..STOPS {
            self.browser.press(&[TAB], !forward).await;
            let stop = self.browser.run(STOP, json!([css])).await;
            assert_eq!(stop["seen"], true, "on the way to {css}: {stop}");
            let place = stop["place"].as_u64().expect("a position");
            assert_eq!(place & wrong, 0, "on the way to {css}: {stop}");
            if stop["reached"] == true {
                return;
            }
        }
        panic!("no Tab leads to {css}");
    }

    async fn press(&self, key: char) {
        self.browser.press(&[key], false).await;
    }

    /// Waits for another view: this one, or one below it when it ends so.
    async fn leads_to(&self, path: &str) {
        eventually(LIMIT, path, || async {
            let now = self.path().await;
            let is_there = now == path || path.ends_with('/') && now.starts_with(path);
            is_there.then_some(()).ok_or(now)
        })
        .await;
    }

    /// What is shown now, without the origin.
    async fn path(&self) -> String {
        let url = self.browser.url().await;
        url.strip_prefix(&self.origin)
            .expect("our own page")
            .to_owned()
    }
}

/// One bar of the waterfall.
#[derive(Debug)]
struct Bar {
    process: String,
    depth: usize,
    remaining: Option<u64>,
}

/// The waterfall as it is shown, from the top.
async fn waterfall(browser: &Browser) -> Vec<Bar> {
    let script =
        "return [...document.querySelectorAll(arguments[0])].map(row => ({ ...row.dataset }))";
    let rows = browser.run(script, json!([ROW])).await;
    let bar = |row: &Value| Bar {
        process: row["process"].as_str().expect("a process").to_owned(),
        depth: row["depth"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .expect("a depth"),
        remaining: row["remainingMs"]
            .as_str()
            .map(|text| text.parse().expect("milliseconds")),
    };
    rows.as_array().expect("a list").iter().map(bar).collect()
}

#[tokio::test]
async fn two_clicks_lead_to_the_trace_of_an_order_in_which_every_hop_has_less_time() {
    let shown = Shown::start().await;
    shown.first_trace().await;
    let bars = waterfall(&shown.browser).await;
    let mut path: Vec<&Bar> = Vec::new();
    let mut most: BTreeMap<&str, u64> = BTreeMap::new();
    for bar in &bars {
        path.truncate(bar.depth);
        assert_eq!(
            path.len(),
            bar.depth,
            "parents before their children: {bars:#?}"
        );
        if let (Some(above), Some(own)) = (
            path.last().and_then(|parent| parent.remaining),
            bar.remaining,
        ) {
            assert!(
                own <= above,
                "{bar:?} has more than the one above it: {bars:#?}"
            );
        }
        if let Some(own) = bar.remaining {
            let most = most.entry(&bar.process).or_default();
            *most = own.max(*most);
        }
        path.push(bar);
    }
    assert!(
        PROCESSES.iter().all(|name| most.contains_key(name)),
        "{bars:#?}"
    );
    assert!(
        most["gateway"] > most["orders"] && most["orders"] > most["payments"],
        "{most:?}"
    );
    assert!(most["payments"] > most["inventory"], "{most:?}");
    shown.draw("trace").await;
}

#[tokio::test]
async fn a_process_that_is_killed_with_the_button_is_seen_to_go_and_to_come_back() {
    let (shown, onlooker) = tokio::join!(Shown::start(), Browser::start());
    let before = shown.mesh.member("payments").pid;
    let (node, state) = ("g[data-process=payments]", "data-state");
    onlooker.go(&format!("{}/", shown.origin)).await;
    onlooker.text(node).await;
    onlooker.run(WATCH, json!([node])).await;

    shown.go("/break").await;
    shown.browser.click("button[data-kill=payments]").await;
    eventually(LIMIT, "the map says so and heals", || async {
        let seen = onlooker.run("return window.seen", json!([])).await;
        let states: Vec<_> = seen.as_array().expect("a list").iter().collect();
        let went = states.iter().any(|state| *state != "ready");
        let is_back = states.last().is_some_and(|state| *state == "ready");
        (went && is_back).then_some(()).ok_or(seen)
    })
    .await;
    assert_ne!(shown.mesh.member("payments").pid, before);
    shown.go("/").await;
    shown
        .becomes(
            "every process is ready",
            "g[data-process]",
            state,
            |found| found.len() == PROCESSES.len() && found.iter().all(|state| state == "ready"),
        )
        .await;
    let number = |found: &[String]| matches!(found, [depth] if depth.parse::<u64>().is_ok());
    shown
        .becomes(
            "the queue's depth is known",
            "g[data-queue]",
            "data-queue",
            number,
        )
        .await;
    shown.draw("map-healed").await;
}

#[tokio::test]
async fn every_view_is_for_everybody_and_asks_nobody_else() {
    let shown = Shown::start().await;
    shown.first_trace().await;
    let trace = shown.path().await;
    shown.is_sound("trace").await;
    for (view, path) in [
        ("map", "/"),
        ("traces", "/traces"),
        ("try", "/try"),
        ("break", "/break"),
    ] {
        shown.go(path).await;
        assert_eq!(shown.browser.text("h1").await.to_lowercase(), view);
        shown.is_sound(view).await;
        shown.draw(view).await;
    }
    shown.go("/try").await;
    for (token, status) in [
        ("tok_ok", "201"),
        ("tok_slow", "201"),
        ("tok_silent", "202"),
        ("tok_declined", "402"),
    ] {
        let button = format!("button[name=token_name][value={token}]");
        shown.browser.click(&button).await;
        let expected = format!("Order with {token}");
        eventually(LIMIT, "the answer is shown", || async {
            let heading = shown.browser.text("h1").await;
            (heading == expected).then_some(()).ok_or(heading)
        })
        .await;
        let told = shown
            .browser
            .attributes("[data-status]", "data-status")
            .await;
        assert_eq!(told, [status], "{token}");
    }
    shown.is_sound("answer").await;
    shown.draw("answer").await;
    // A trace that has ended is the same when it is opened anew.
    shown.go(&trace).await;
    assert!(!waterfall(&shown.browser).await.is_empty());
}

#[tokio::test]
async fn everything_can_be_done_with_the_keyboard() {
    let shown = Shown::start().await;
    shown.browser.resize(1440, 900).await;
    shown.go("/").await;
    shown.tab_to(".skip", true).await;
    shown.press(ENTER).await;
    shown.tab_to("main .scroll", true).await;
    let button = |token| format!("button[name=token_name][value={token}]");
    shown.tab_to(&button("tok_declined"), true).await;
    shown.press(SPACE).await;
    shown.leads_to("/try/").await;
    shown.tab_to(&button("tok_ok"), true).await;
    shown.press(ENTER).await;
    shown.leads_to("/try/2").await;
    shown.tab_to("#see-trace", true).await;
    shown.press(ENTER).await;
    shown.leads_to("/traces/").await;
    let trace = shown.path().await;
    let all = |found: &[String]| {
        PROCESSES
            .iter()
            .all(|name| found.iter().any(|seen| seen == name))
    };
    shown
        .becomes("all are in it", ROW, "data-process", all)
        .await;

    opens_details(&shown).await;
    shown.tab_to("nav a[href='/traces']", false).await;
    shown.press(ENTER).await;
    shown.leads_to("/traces").await;
    let row = format!("tr[data-trace] a[href='{trace}']");
    shown.tab_to(&row, true).await;
    shown.press(ENTER).await;
    shown.leads_to(&trace).await;
    breaks(&shown).await;
}

/// Opens a span, closes it, opens it again and goes on to the log.
async fn opens_details(shown: &Shown) {
    let open = "tr[data-process=payments] details";
    let summary = format!("{open} > summary");
    shown.tab_to(&summary, true).await;
    for (key, expected) in [(SPACE, [""].as_slice()), (SPACE, &[]), (ENTER, &[""])] {
        shown.press(key).await;
        let found = shown
            .browser
            .attributes(&format!("{open}[open]"), "open")
            .await;
        assert_eq!(found, expected);
    }
    let details = format!("{ROW}[data-process=payments] + .more .details");
    let told = shown.browser.text(&details).await;
    assert!(told.contains("mesh.deadline.remaining_ms"), "{told}");
    shown.tab_to("#log > summary", true).await;
}

/// Restarts, scales, and keeps the focus while others do so.
async fn breaks(shown: &Shown) {
    shown.go("/break").await;
    shown.tab_to("button[data-restart=inventory]", true).await;
    shown.press(ENTER).await;
    shown.leads_to("/break?done=1").await;
    assert!(shown.browser.text(".done").await.contains("inventory"));
    shown.tab_to("button[data-workers='2']", true).await;
    shown.press(SPACE).await;
    shown.leads_to("/break?done=2").await;
    shown.tab_to("button[data-kill=payments]", true).await;
    // What moves by itself takes the focus from nobody.
    let scaled = shown.mesh.run(&["scale", "fulfillment=3"]).await;
    assert_eq!(scaled.code, Some(0), "{scaled:?}");
    shown
        .becomes("a third worker", "#break-fulfillment-3", "id", |found| {
            !found.is_empty()
        })
        .await;
    let focused = "return document.activeElement.dataset.kill ?? ''";
    assert_eq!(shown.browser.run(focused, json!([])).await, "payments");
    shown.tab_to(".skip", false).await;
}

#[tokio::test]
async fn other_pages_and_other_names_get_403() {
    let mesh = Mesh::start().await;
    let page = mesh.page();
    let own = mesh.page_address();
    for path in [
        "/",
        "/traces",
        "/try",
        "/break",
        "/events",
        "/style.css",
        "/api/traces",
    ] {
        for (name, value) in [
            // Another page asks; a name that somebody points at this machine.
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "cross-site"),
            ("host", "evil.example"),
        ] {
            let answer = page.get(path).header(name, value).send().await;
            assert_eq!(answer.status, 403, "{path} with {name}: {value}");
        }
    }
    for path in [
        "/try",
        "/break/kill",
        "/break/pause",
        "/break/restart",
        "/break/scale",
    ] {
        let form =
            "token=guessed&token_name=tok_ok&replica=payments&process=fulfillment&replicas=10";
        let origin = format!("http://{own}");
        let ours = page.post(path).header("origin", &origin);
        let sent = ours
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        assert_eq!(
            sent.send().await.status,
            403,
            "{path} with a token that was guessed"
        );
    }
    let members = mesh.members();
    let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names.len(), PROCESSES.len(), "nothing was done: {names:?}");
}
