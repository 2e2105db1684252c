//! How full the queue is, in the line at the bottom of the terminal.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use mesh_config::{Reader, Section, load};
use mesh_context::Policy;
use mesh_messaging::{Depth, Queue, QueueConfig};
use prometheus::Registry;
use tokio::time::sleep;

use crate::terminal::Terminal;

const INTERVAL: Duration = Duration::from_secs(1);

struct Settings(QueueConfig);

impl Section for Settings {
    fn read(reader: &mut Reader<'_>) -> Self {
        Self(QueueConfig::read(reader))
    }
}

/// Keeps the line up to date; nothing where there is no such line.
pub(crate) async fn show(settings: &BTreeMap<String, String>, terminal: &Terminal) -> Infallible {
    let opened = load::<Settings>(settings).ok().and_then(|loaded| {
        let Settings(config) = loaded.config;
        let policy = Policy::inside(INTERVAL);
        Queue::open(&config, &policy, &Registry::new()).ok()
    });
    let Some((queue, driver)) = opened.filter(|_opened| terminal.is_live()) else {
        return std::future::pending().await;
    };
    let watch = async {
        loop {
            terminal.status(&line(queue.depth().await.ok()));
            sleep(INTERVAL).await;
        }
    };
    tokio::select! {
        never = watch => never,
        () = driver.run() => std::future::pending().await,
    }
}

fn line(depth: Option<Depth>) -> String {
    match depth {
        Some(Depth { ready, dead: 0 }) => format!("queue: {ready} waiting"),
        Some(Depth { ready, dead }) => format!("queue: {ready} waiting, {dead} dead letters"),
        None => "queue: away".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_are_told_of_when_there_are_any() {
        let told = |ready, dead| line(Some(Depth { ready, dead }));
        assert_eq!(told(3, 0), "queue: 3 waiting");
        assert_eq!(told(0, 2), "queue: 0 waiting, 2 dead letters");
        assert_eq!(line(None), "queue: away");
    }
}
