//! How the backing servers are and how full the queue is, in the line at the bottom of the terminal.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use mesh_messaging::Depth;
use tokio::time::sleep;

use crate::{backing::Watch, queue, terminal::Terminal};

const INTERVAL: Duration = Duration::from_secs(1);

/// Keeps the line up to date; nothing where there is no such line.
pub(crate) async fn show(
    settings: &BTreeMap<String, String>,
    servers: &Watch,
    terminal: &Terminal,
) -> Infallible {
    let Some((queue, driver)) = queue::open(settings).filter(|_opened| terminal.is_live()) else {
        return std::future::pending().await;
    };
    let watch = async {
        loop {
            let depth = in_short(queue.depth().await.ok());
            terminal.status(&format!("{}queue: {depth}", servers.in_short()));
            sleep(INTERVAL).await;
        }
    };
    tokio::select! {
        never = watch => never,
        () = driver.run() => std::future::pending().await,
    }
}

/// None is a queue that does not answer.
pub(crate) fn in_short(depth: Option<Depth>) -> String {
    match depth {
        Some(Depth { ready, dead: 0 }) => format!("{ready} waiting"),
        Some(Depth { ready, dead }) => format!("{ready} waiting, {dead} dead letters"),
        None => "away".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_are_told_of_when_there_are_any() {
        let told = |ready, dead| in_short(Some(Depth { ready, dead }));
        assert_eq!(told(3, 0), "3 waiting");
        assert_eq!(told(0, 2), "0 waiting, 2 dead letters");
        assert_eq!(in_short(None), "away");
    }
}
