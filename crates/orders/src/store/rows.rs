//! How orders and answers are written in columns.

use mesh_config::Secret;
use sqlx::{Row as _, any::AnyRow};

use crate::{
    clock::Timestamp,
    error::{Error, Result},
    order::{Item, Order, Record, Status, Step},
    placement::Answer,
};

/// Selects what [`record`] reads, by name: a column that a later version adds must not disturb this one.
macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT id, session, status, step, visible, items, currency, total, charge_key, ",
            "payment_token, trace_headers, release_due_at, refund_due_at, cancel_requested_at, ",
            "created_at, updated_at FROM orders ",
            $where
        )
    };
}
pub(super) use select;

pub(super) fn record(row: &AnyRow) -> Result<Record> {
    let text = |column| row.try_get::<String, _>(column);
    let number = |column| row.try_get::<i64, _>(column);
    let time = |column| {
        let time = row.try_get::<Option<i64>, _>(column);
        time.map(|time| time.map(Timestamp))
    };
    let token = row.try_get::<Option<String>, _>("payment_token")?;
    Ok(Record {
        order: Order {
            id: text("id")?
                .parse()
                .map_err(|e| Error::corrupt("an id", e))?,
            status: status(&text("status")?)?,
            items: items(&text("items")?)?,
            currency: text("currency")?,
            total: number("total")?,
            created_at: Timestamp(number("created_at")?),
            updated_at: Timestamp(number("updated_at")?),
        },
        session: text("session")?,
        step: step(&text("step")?)?,
        visible: number("visible")? != 0,
        charge_key: text("charge_key")?,
        payment_token: token.map(Secret::new),
        trace_headers: text("trace_headers")?,
        release_due_at: time("release_due_at")?,
        refund_due_at: time("refund_due_at")?,
        cancel_requested_at: time("cancel_requested_at")?,
    })
}

pub(super) fn status_name(status: Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Confirmed => "confirmed",
        Status::Fulfilled => "fulfilled",
        Status::Cancelled => "cancelled",
        Status::Failed => "failed",
    }
}

fn status(name: &str) -> Result<Status> {
    match name {
        "pending" => Ok(Status::Pending),
        "confirmed" => Ok(Status::Confirmed),
        "fulfilled" => Ok(Status::Fulfilled),
        "cancelled" => Ok(Status::Cancelled),
        "failed" => Ok(Status::Failed),
        _ => Err(Error::corrupt("a status", name)),
    }
}

pub(super) fn step_name(step: Step) -> &'static str {
    match step {
        Step::Reserve => "reserve",
        Step::Charge => "charge",
        Step::Settle => "settle",
        Step::Void => "void",
        Step::Done => "done",
    }
}

fn step(name: &str) -> Result<Step> {
    match name {
        "reserve" => Ok(Step::Reserve),
        "charge" => Ok(Step::Charge),
        "settle" => Ok(Step::Settle),
        "void" => Ok(Step::Void),
        "done" => Ok(Step::Done),
        _ => Err(Error::corrupt("a step", name)),
    }
}

pub(super) fn items_text(items: &[Item]) -> String {
    serde_json::to_string(items).expect("texts and numbers are JSON")
}

fn items(text: &str) -> Result<Vec<Item>> {
    serde_json::from_str(text).map_err(|error| Error::corrupt("items", error))
}

pub(super) fn answer_text(answer: &Answer) -> String {
    serde_json::to_string(answer).expect("texts and numbers are JSON")
}

pub(super) fn answer(text: &str) -> Result<Answer> {
    serde_json::from_str(text).map_err(|error| Error::corrupt("an answer", error))
}
