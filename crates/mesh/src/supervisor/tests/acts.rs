//! What people do to processes, and what is seen of it.

use super::*;
use crate::{replica::Act, view::Phase};

const ORDERS: ReplicaId = ReplicaId {
    process: Process::Orders,
    number: 1,
};

/// Says goodbye when it is asked to end.
const POLITE: &str =
    "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 30 & wait $!; done";

/// Orders, which is ready.
async fn orders(script: &str) -> Fixture {
    let mesh = Fixture::new(script, &[Process::Orders]);
    mesh.handle.scale(Process::Orders, 1).await;
    mesh.until(|view| are_ready(view, Process::Orders, 1)).await;
    mesh
}

/// Orders, once its script has said so: what is signalled before may not have begun to listen.
async fn orders_that_said(script: &str, word: &str) -> Fixture {
    let mesh = orders(script).await;
    let said = async { while !mesh.screen().await.contains(word) {} };
    timeout(LIMIT, said).await.unwrap();
    mesh
}

fn is_in(phase: Phase) -> impl Fn(&View) -> bool {
    move |view| view[&ORDERS].phase == phase
}

fn waits_for(what: &str) -> impl Fn(&View) -> bool {
    is_in(Phase::Waiting(vec![what.to_owned()]))
}

/// Another process than this one is ready.
fn is_replaced(before: u32) -> impl Fn(&View) -> bool {
    move |view| pid(view, ORDERS) != Some(before) && are_ready(view, Process::Orders, 1)
}

/// Whether the system keeps it from running.
#[cfg(target_os = "linux")]
fn is_stopped(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, state) = stat.rsplit_once(") ").unwrap();
    state.starts_with('T')
}

#[cfg(target_os = "linux")]
async fn until_stopped(pid: u32, is: bool) {
    let stopped = async {
        while is_stopped(pid) != is {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, stopped).await.unwrap();
}

#[tokio::test]
async fn a_process_that_people_kill_is_replaced_as_after_any_death() {
    let mesh = orders(OBEDIENT).await;
    let before = mesh.pid(ORDERS);
    let done = mesh.handle.act(ORDERS, Act::Kill).await.unwrap();
    assert_eq!(done, format!("orders (process {before}) was killed"));
    mesh.until(is_replaced(before)).await;
    assert!(
        test_kill_process(os_pid(before)).is_err(),
        "it must be gone"
    );
    let screen = mesh.screen().await;
    let report = "orders      was killed by signal 9 (SIGKILL); starts again in 0.20 s";
    assert!(screen.contains(report), "{screen}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_paused_process_is_shown_as_such_and_goes_on_after_ten_seconds() {
    let mesh = orders(OBEDIENT).await;
    let process = mesh.pid(ORDERS);
    let done = mesh.handle.act(ORDERS, Act::Pause).await.unwrap();
    assert_eq!(
        done,
        format!("orders (process {process}) is paused for 10 s")
    );
    mesh.until(is_in(Phase::Paused)).await;
    until_stopped(process, true).await;
    let again = mesh.handle.act(ORDERS, Act::Pause).await;
    assert_eq!(again.unwrap_err(), "orders is paused");

    // Now the time passes at once.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    mesh.handle
        .until(|view| view[&ORDERS].phase != Phase::Paused)
        .await;
    let took = begun.elapsed();
    tokio::time::resume();
    assert!(
        took > Duration::from_secs(5) && took < Duration::from_secs(11),
        "{took:?}"
    );
    mesh.until(|view| are_ready(view, Process::Orders, 1)).await;
    until_stopped(process, false).await;
    assert_eq!(mesh.pid(ORDERS), process);
    let screen = mesh.screen().await;
    assert!(
        screen.contains("orders      is paused for 10 s\n"),
        "{screen}"
    );
    assert!(screen.contains("orders      ready again in "), "{screen}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_paused_process_can_be_killed_and_restarted() {
    for act in [Act::Kill, Act::Restart] {
        let mesh = orders_that_said(POLITE, "hello").await;
        let before = mesh.pid(ORDERS);
        mesh.handle.act(ORDERS, Act::Pause).await.unwrap();
        until_stopped(before, true).await;
        mesh.handle.act(ORDERS, act).await.unwrap();
        mesh.until(is_replaced(before)).await;
        assert!(
            test_kill_process(os_pid(before)).is_err(),
            "{act:?}: it must be gone"
        );
        let said_goodbye = mesh.screen().await.contains("bye");
        assert_eq!(said_goodbye, act == Act::Restart, "{act:?}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_paused_process_ends_in_order_with_the_mesh() {
    let mesh = orders_that_said(POLITE, "hello").await;
    let before = mesh.pid(ORDERS);
    mesh.handle.act(ORDERS, Act::Pause).await.unwrap();
    until_stopped(before, true).await;
    mesh.handle.scale(Process::Orders, 0).await;
    mesh.until(View::is_empty).await;
    assert!(
        test_kill_process(os_pid(before)).is_err(),
        "it must be gone"
    );
    let screen = mesh.screen().await;
    assert!(
        screen.contains("bye") && !screen.contains("killed"),
        "{screen}"
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_paused_process_dies_with_the_supervisor() {
    let mesh = orders(OBEDIENT).await;
    let process = mesh.pid(ORDERS);
    mesh.handle.act(ORDERS, Act::Pause).await.unwrap();
    until_stopped(process, true).await;
    drop(mesh);
    let gone = async {
        while test_kill_process(os_pid(process)).is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, gone).await.unwrap();
}

#[tokio::test]
async fn a_restarted_process_ends_in_order_and_another_is_there_at_once() {
    let mesh = orders_that_said(POLITE, "hello").await;
    let before = mesh.pid(ORDERS);
    let done = mesh.handle.act(ORDERS, Act::Restart).await.unwrap();
    let expected =
        format!("orders (process {before}) finishes what it has in hand and is started again");
    assert_eq!(done, expected);
    mesh.until(is_replaced(before)).await;
    let screen = mesh.screen().await;
    assert!(screen.contains("orders      bye\n"), "{screen}");
    assert!(screen.contains("orders      stopped in "), "{screen}");
    assert!(screen.contains(" s, starts again\n"), "{screen}");
    assert!(!screen.contains("killed"), "{screen}");
}

#[tokio::test]
async fn a_process_that_does_not_stop_when_restarted_is_killed_in_the_end() {
    let deaf = "trap '' TERM; echo deaf; while :; do sleep 30; done";
    let mesh = orders_that_said(deaf, "deaf").await;
    let before = mesh.pid(ORDERS);
    mesh.handle.act(ORDERS, Act::Restart).await.unwrap();
    mesh.until(is_in(Phase::Restarting)).await;
    let refused = mesh.handle.act(ORDERS, Act::Kill).await.unwrap_err();
    assert_eq!(refused, "orders is restarting");
    // Now the time that it has passes at once.
    tokio::time::pause();
    mesh.handle
        .until(|view| pid(view, ORDERS) != Some(before))
        .await;
    tokio::time::resume();
    mesh.until(is_replaced(before)).await;
    let screen = mesh.screen().await;
    assert!(screen.contains("did not stop in time: killed"), "{screen}");
}

#[tokio::test]
async fn nothing_is_done_to_what_is_not_there() {
    let mesh = Fixture::new("exit 3", &[]);
    let refused = mesh.handle.act(ORDERS, Act::Kill).await.unwrap_err();
    assert_eq!(refused, "orders is not running");
    mesh.handle.scale(Process::Orders, 1).await;
    mesh.until(is_in(Phase::Down)).await;
    // It stays down for as long as we ask.
    tokio::time::pause();
    let refused = mesh.handle.act(ORDERS, Act::Pause).await.unwrap_err();
    assert_eq!(refused, "orders is down");
}

#[tokio::test]
async fn a_process_that_is_not_ready_any_more_is_shown_until_it_is_again() {
    let mesh = orders(OBEDIENT).await;
    let process = mesh.pid(ORDERS);
    mesh.answer(Process::Orders, 503);
    mesh.until(waits_for("shutdown")).await;
    mesh.answer(Process::Orders, 200);
    mesh.until(|view| are_ready(view, Process::Orders, 1)).await;
    mesh.answer(Process::Orders, SILENCE);
    mesh.until(waits_for("an answer")).await;
    mesh.answer(Process::Orders, 200);
    mesh.until(|view| are_ready(view, Process::Orders, 1)).await;
    assert_eq!(mesh.pid(ORDERS), process, "it is the same all the time");
    let screen = mesh.screen().await;
    for told in [
        "orders      is not ready any more: waits for shutdown\n",
        "orders      is not ready any more: waits for an answer\n",
    ] {
        assert!(screen.contains(told), "{told} in {screen}");
    }
    assert_eq!(
        screen.matches("orders      ready again in ").count(),
        2,
        "{screen}"
    );
}
