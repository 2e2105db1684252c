//! `mesh dead`: the messages that could not be worked on, in the queue of the mesh that runs in this folder.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use mesh_messaging::{DeadLetter, Queue, Replay};
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use tokio::time::timeout;

use crate::{
    cli::{DeadCommand, ReplayArgs},
    control::{self, Answer, Request},
    environment::QUEUE,
    error::Error,
    folder::Folder,
    queue,
    record::visible,
    table::table,
    terminal::{self, Palette},
};

/// For a broker on this machine or in the next room to let us in.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Characters of a cell of the list.
const LONGEST_CELL: usize = 200;

/// For what is not known.
const UNKNOWN: &str = "–";

pub(crate) async fn dead(command: DeadCommand) -> Result<(), Error> {
    let settings = settings().await?;
    let (queue, driver) = queue::open(&settings)
        .ok_or_else(|| Error::Refused("the running mesh has a queue unknown here".to_owned()))?;
    let work = async {
        let outcome = match connected(&queue).await {
            Ok(()) => obey(command, &queue).await,
            Err(error) => Err(error),
        };
        // The driver runs until then.
        queue.close().await;
        outcome
    };
    let (outcome, ()) = tokio::join!(work, driver.run());
    terminal::answer(outcome?.trim_end());
    Ok(())
}

/// Where the running mesh has its queue.
pub(crate) async fn settings() -> Result<BTreeMap<String, String>, Error> {
    let socket = Folder::here().control_socket();
    match control::ask(&socket, &Request::Queue).await? {
        Answer::Done(url) if url.is_empty() => Ok(BTreeMap::new()),
        Answer::Done(url) => Ok(BTreeMap::from([(QUEUE.to_owned(), url)])),
        Answer::Refused(text) => Err(Error::Refused(text)),
    }
}

async fn connected(queue: &Queue) -> Result<(), Error> {
    let mut connected = queue.connected();
    let there = timeout(CONNECT_LIMIT, connected.wait_for(|connected| *connected)).await;
    match there {
        Ok(Ok(_)) => Ok(()),
        _ => Err(away(&format!(
            "no connection within {} s",
            CONNECT_LIMIT.as_secs()
        ))),
    }
}

async fn obey(command: DeadCommand, queue: &Queue) -> Result<String, Error> {
    match command {
        DeadCommand::List => letters(queue).await.map(|letters| list(&letters)),
        DeadCommand::Show { id } => {
            let letters = letters(queue).await?;
            let shown: Vec<_> = letters.iter().filter(|letter| letter.id == id).collect();
            if shown.is_empty() {
                return Err(unknown(&id));
            }
            Ok(shown.into_iter().map(show).collect())
        }
        DeadCommand::Replay(ReplayArgs { id, .. }) => replay(queue, id).await,
    }
}

async fn letters(queue: &Queue) -> Result<Vec<DeadLetter>, Error> {
    let letters = queue.dead_letters().await;
    letters.map_err(|error| away(&error.to_string()))
}

/// One of them, or all.
async fn replay(queue: &Queue, id: Option<String>) -> Result<String, Error> {
    let which = id.clone().map_or(Replay::All, Replay::Id);
    let replayed = queue.replay(&which).await;
    let count = replayed.map_err(|error| away(&error.to_string()))?;
    match (count, id) {
        (0, Some(id)) => Err(unknown(&id)),
        (0, None) => Ok("nothing to replay: there are no dead letters".to_owned()),
        (1, Some(id)) => Ok(format!("replayed {id}: it is in the queue again")),
        (count, _) => Ok(format!(
            "replayed {count}: what is in the queue again is worked on as if it were new"
        )),
    }
}

fn away(why: &str) -> Error {
    Error::Refused(format!("the queue of the running mesh is away: {why}"))
}

fn unknown(id: &str) -> Error {
    Error::Refused(format!(
        "no dead letter has the id {id:?}: `cargo mesh dead list` shows those there are"
    ))
}

fn list(letters: &[DeadLetter]) -> String {
    if letters.is_empty() {
        return "no dead letters".to_owned();
    }
    let heading = ["id", "order", "type", "when", "deliveries", "why"].map(ToOwned::to_owned);
    let rows = letters.iter().map(|letter| {
        [
            visible(&letter.id).into_owned(),
            brief(stated(letter, "order_id")),
            brief(stated(letter, "type")),
            when(letter),
            deliveries(letter),
            brief(visible(&letter.reason).into_owned()),
        ]
    });
    let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
    table(&rows, Palette { on: false })
}

/// Its beginning: whoever wrote it may have written megabytes, which `show` shows.
fn brief(cell: String) -> String {
    match cell.char_indices().nth(LONGEST_CELL) {
        Some((end, _)) => format!("{}…", &cell[..end]),
        None => cell,
    }
}

fn show(letter: &DeadLetter) -> String {
    let mut text = String::new();
    let facts = [
        ("id", visible(&letter.id).into_owned()),
        ("order", stated(letter, "order_id")),
        ("type", stated(letter, "type")),
        ("when", when(letter)),
        ("deliveries", deliveries(letter)),
        ("why", visible(&letter.reason).into_owned()),
    ];
    for (name, value) in facts {
        let _infallible = writeln!(text, "{name:<11} {value}");
    }
    text.push_str("headers\n");
    let headers: BTreeMap<String, String> =
        serde_json::from_str(&letter.headers.to_json()).unwrap_or_default();
    for (name, value) in headers {
        let _infallible = writeln!(text, "  {name}: {}", visible(&value));
    }
    text.push_str("body\n");
    for line in body(letter).lines() {
        let _infallible = writeln!(text, "  {}", visible(line));
    }
    text + "\n"
}

/// As it was published, JSON with one member a line.
fn body(letter: &DeadLetter) -> String {
    let json: Option<Value> = serde_json::from_slice(&letter.body).ok();
    json.and_then(|json| serde_json::to_string_pretty(&json).ok())
        .unwrap_or_else(|| String::from_utf8_lossy(&letter.body).into_owned())
}

/// What the message says of itself.
fn stated(letter: &DeadLetter, name: &str) -> String {
    let json: Option<Value> = serde_json::from_slice(&letter.body).ok();
    let stated = json.as_ref().and_then(|json| json.get(name)?.as_str());
    stated.map_or_else(|| UNKNOWN.to_owned(), |text| visible(text).into_owned())
}

fn when(letter: &DeadLetter) -> String {
    let whole = letter.died_at.and_then(|at| at.replace_nanosecond(0).ok());
    whole
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| UNKNOWN.to_owned())
}

fn deliveries(letter: &DeadLetter) -> String {
    letter
        .deliveries
        .map_or_else(|| UNKNOWN.to_owned(), |count| count.to_string())
}

#[cfg(test)]
mod tests {
    use mesh_messaging::Headers;
    use time::OffsetDateTime;

    use super::*;

    fn letter(id: &str, body: &str) -> DeadLetter {
        DeadLetter {
            id: id.to_owned(),
            reason: "refused: no such\norder".to_owned(),
            died_at: Some(OffsetDateTime::UNIX_EPOCH),
            deliveries: Some(1),
            body: body.as_bytes().to_vec(),
            headers: Headers::from_json(r#"{"x-request-id":"r-1"}"#),
        }
    }

    #[test]
    fn what_a_message_does_not_say_is_left_open() {
        let mut junk = letter("unnamed-1", "junk");
        junk.died_at = None;
        junk.deliveries = None;
        let order = letter(
            "m-1",
            r#"{"id":"m-1","type":"order.confirmed","order_id":"o-1"}"#,
        );
        let expected = "  id         order  type             when                  deliveries  why\n  \
                        m-1        o-1    order.confirmed  1970-01-01T00:00:00Z  1           refused: no such\\norder\n  \
                        unnamed-1  –      –                –                     –           refused: no such\\norder\n";
        assert_eq!(list(&[order, junk]), expected);
        assert_eq!(list(&[]), "no dead letters");
    }

    #[test]
    fn one_endless_letter_does_not_hide_the_others() {
        let endless = "é".repeat(100_000);
        let body = format!(r#"{{"type":"{endless}","order_id":"{endless}"}}"#);
        let mut long = letter("m-1", &body);
        long.reason = endless.clone();
        let shown = list(&[long.clone(), letter("m-2", "{}")]);
        assert!(shown.contains("…") && shown.contains("m-2"), "{shown}");
        assert!(!shown.contains(&"é".repeat(201)), "{shown}");
        assert!(show(&long).contains(&endless));
    }

    #[test]
    fn a_letter_is_shown_with_its_headers_and_its_body() {
        let shown = show(&letter("m-1", r#"{"id":"m-1","order_id":"o-1"}"#));
        assert!(shown.contains("  x-request-id: r-1\n"), "{shown}");
        assert!(shown.contains("  \"order_id\": \"o-1\"\n"), "{shown}");
        assert!(show(&letter("m", "a\x1b[2Jb")).contains("a\\u{1b}[2Jb"));
    }
}
