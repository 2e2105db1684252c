//! One connection to the database, on which every statement is bounded by the transaction's [`Limit`].
//!
//! It knows two things that decide its fate: whether a statement was cut off in the middle, so that its answer may still
//! be on the way (then the connection is closed, never used again), and whether a statement failed (then the transaction
//! cannot commit: PostgreSQL would answer such a `COMMIT` with a rollback and no error).

use std::{fmt, future::Future};

use futures_util::{
    StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use sqlx::{
    Any, AnyConnection, AssertSqlSafe, Describe, Either, Execute, Executor, SqlSafeStr as _,
    SqlStr,
    any::{AnyQueryResult, AnyRow, AnyStatement, AnyTypeInfo},
};

use crate::limit::Limit;

/// What statements run on: `sqlx::query(…).execute(&mut *connection)`.
pub struct Connection {
    raw: AnyConnection,
    limit: Limit,
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    interrupted: bool,
    failed: bool,
}

impl Connection {
    pub(crate) fn new(raw: AnyConnection, limit: Limit) -> Self {
        Self {
            raw,
            limit,
            state: State::default(),
        }
    }

    /// For the next transaction.
    pub(crate) fn renew(&mut self, limit: Limit) {
        self.limit = limit;
        self.state = State::default();
    }

    /// A statement was not awaited to its end.
    pub(crate) fn interrupted(&self) -> bool {
        self.state.interrupted
    }

    /// No statement ended in an error or was given up.
    pub(crate) fn may_commit(&self) -> bool {
        !self.state.failed && !self.state.interrupted
    }

    /// For what sqlx does on a connection of its own.
    pub(crate) fn into_raw(self) -> AnyConnection {
        self.raw
    }

    /// Runs SQL without arguments, several statements perhaps.
    pub(crate) async fn run(
        &mut self,
        sql: impl Into<std::borrow::Cow<'static, str>>,
    ) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.into()).into_sql_str();
        self.execute(sqlx::raw_sql(sql)).await.map(drop)
    }
}

/// Awaits one answer of the database, and notes how that ended.
async fn watch<T>(
    limit: Limit,
    state: &mut State,
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let State {
        interrupted,
        failed,
    } = state;
    *interrupted = true;
    let result = limit
        .bound(async {
            let answer = answer.await;
            *interrupted = false;
            answer
        })
        .await;
    *failed |= result.is_err();
    result
}

impl<'c> Executor<'c> for &'c mut Connection {
    type Database = Any;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<AnyQueryResult, AnyRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let Connection { raw, limit, state } = self;
        let answers = raw.fetch_many(query);
        stream::unfold(
            (answers, *limit, state),
            |(mut answers, limit, state)| async move {
                let answer = watch(limit, state, answers.try_next()).await.transpose()?;
                Some((answer, (answers, limit, state)))
            },
        )
        .boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<AnyRow>, sqlx::Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Any>,
    {
        let Connection { raw, limit, state } = self;
        Box::pin(watch(*limit, state, raw.fetch_optional(query)))
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [AnyTypeInfo],
    ) -> BoxFuture<'e, Result<AnyStatement, sqlx::Error>>
    where
        'c: 'e,
    {
        let Connection { raw, limit, state } = self;
        Box::pin(watch(*limit, state, raw.prepare_with(sql, parameters)))
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Any>, sqlx::Error>>
    where
        'c: 'e,
    {
        let Connection { raw, limit, state } = self;
        Box::pin(watch(*limit, state, raw.describe(sql)))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("limit", &self.limit)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
