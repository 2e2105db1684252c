//! Where the spans of the mesh go: to the store of `mesh up`, to the user's collector, or to both.
//!
//! ```text
//!                                  the user's collector?   --keep-traces
//!  processes ──► receiver ──► store      no                    –
//!  processes ──► collector               yes                   no
//!  processes ──► receiver ──► store      yes                   yes
//!                    └──────► collector
//! ```

use std::{convert::Infallible, future::pending, time::Duration};

use mesh_traces::{Forward, Forwarding, Receiver, Store};
use tokio::time::timeout;

use crate::{
    environment::{Environment, Export},
    error::Error,
    terminal::Terminal,
};

/// What the store may take.
const ROOM: usize = 64 * 1024 * 1024;

/// For the last spans to reach the user's collector.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// What becomes of spans.
#[derive(Debug)]
pub(crate) struct Spans {
    /// Empty for good where spans go elsewhere.
    pub(crate) store: Store,
    receiver: Option<Receiver>,
    collector: Option<Collector>,
    reason: String,
}

/// The user's, which gets what we get.
#[derive(Clone, Debug)]
pub(crate) struct Collector {
    endpoint: String,
    forwarding: Forwarding,
}

impl Spans {
    /// Has the processes export to us, if the user lets us.
    pub(crate) fn new(environment: &mut Environment, keep: bool) -> Result<Self, Error> {
        let mut spans = Self {
            store: Store::new(ROOM),
            receiver: None,
            collector: None,
            reason: String::new(),
        };
        let forward = match environment.export() {
            Export::Open => None,
            Export::To(endpoint) if keep => {
                let forward = Forward::to(endpoint).map_err(|error| {
                    Error::Settings(vec![format!("OTEL_EXPORTER_OTLP_ENDPOINT={error}")])
                })?;
                spans.collector = Some(Collector {
                    endpoint: endpoint.clone(),
                    forwarding: forward.forwarding(),
                });
                Some(forward)
            }
            Export::To(endpoint) => {
                spans.reason = format!(
                    "the processes export their spans to {endpoint}: look there, or start the mesh with --keep-traces"
                );
                return Ok(spans);
            }
            Export::Nowhere if keep => None,
            Export::Nowhere => {
                "the processes export no spans: OTEL_EXPORTER_OTLP_ENDPOINT is set to nothing"
                    .clone_into(&mut spans.reason);
                return Ok(spans);
            }
        };
        let receiver = Receiver::bind(spans.store.clone(), forward)
            .map_err(|source| Error::io("listen for spans", source))?;
        if let Some(sampler) = environment.sampler() {
            spans.reason = format!("OTEL_TRACES_SAMPLER is {sampler}: not every request is traced");
        }
        environment.export_to(receiver.endpoint());
        spans.receiver = Some(receiver);
        Ok(spans)
    }

    /// Whether there is anything to be seen here.
    pub(crate) fn are_kept(&self) -> bool {
        self.receiver.is_some()
    }

    /// Why there may be no traces; empty where nobody knows a reason.
    pub(crate) fn reason(&self) -> String {
        self.reason.clone()
    }

    /// The user's collector, if it gets what we get.
    pub(crate) fn collector(&self) -> Option<Collector> {
        self.collector.clone()
    }

    /// Takes spans in until it is dropped.
    pub(crate) async fn serve(self, terminal: Terminal) {
        let Self {
            receiver,
            collector,
            ..
        } = self;
        let serve = async {
            if let Some(receiver) = receiver
                && let Err(error) = receiver.serve().await
            {
                terminal.say(format!("no more spans are received: {error}"));
            }
            pending().await
        };
        let watch = async {
            match collector {
                Some(collector) => collector.watch(&terminal).await,
                None => pending().await,
            }
        };
        let never: Infallible = tokio::select! {
            never = serve => never,
            never = watch => never,
        };
        match never {}
    }
}

impl Collector {
    /// Says when it stops taking spans, and when it takes them again.
    async fn watch(&self, terminal: &Terminal) -> Infallible {
        let Self {
            endpoint,
            forwarding,
        } = self;
        let mut health = forwarding.health();
        let mut failing = false;
        loop {
            let changed = health
                .wait_for(|health| health.problem.is_some() != failing)
                .await
                .map(|health| health.clone());
            let Ok(now) = changed else {
                return pending().await;
            };
            terminal.say(match &now.problem {
                Some(problem) => format!(
                    "spans cannot be handed on to {endpoint} and are dropped there until they can: {problem}"
                ),
                None => format!(
                    "spans are handed on to {endpoint} again, {} were not",
                    now.dropped_spans
                ),
            });
            failing = now.problem.is_some();
        }
    }

    /// Waits until it has what is on its way, unless that takes too long, and says what it will never have.
    pub(crate) async fn flush(&self, terminal: &Terminal) {
        let Self {
            endpoint,
            forwarding,
        } = self;
        let late = timeout(FLUSH_LIMIT, forwarding.flushed()).await.is_err();
        let missing = forwarding.missing();
        if missing > 0 {
            let why = if late {
                format!(": it does not take them within {} s", FLUSH_LIMIT.as_secs())
            } else {
                String::new()
            };
            terminal.say(format!("{missing} spans did not reach {endpoint}{why}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        cli::Assignment,
        ports::Addresses,
        process::{Process, ReplicaId},
    };

    const NAME: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

    /// What orders is told, and what became of it.
    fn told(set: &[(&str, &str)], keep: bool) -> Result<(Option<String>, Spans), Error> {
        let set: Vec<_> = set
            .iter()
            .map(|(key, value)| Assignment {
                key: (*key).to_owned(),
                value: (*value).to_owned(),
            })
            .collect();
        let mut environment = Environment::new(&BTreeMap::new(), &set, 0)?;
        let spans = Spans::new(&mut environment, keep)?;
        let addresses = Addresses::known(Process::Orders, 0);
        let variables = environment.of(ReplicaId::first(Process::Orders), &addresses);
        Ok((variables.get(NAME).cloned(), spans))
    }

    #[tokio::test]
    async fn processes_export_to_us_unless_the_user_has_a_collector() {
        for keep in [false, true] {
            let (endpoint, spans) = told(&[], keep).unwrap();
            assert!(endpoint.unwrap().starts_with("http://127.0.0.1:"));
            assert!(spans.are_kept() && spans.collector().is_none());
            assert_eq!(spans.reason(), "");
        }
        let theirs = "http://localhost:4317";
        let (endpoint, spans) = told(&[(NAME, theirs)], false).unwrap();
        assert_eq!(endpoint.as_deref(), Some(theirs));
        assert!(!spans.are_kept() && spans.reason().contains(theirs));
        assert!(spans.reason().contains("--keep-traces"));

        let (endpoint, spans) = told(&[(NAME, theirs)], true).unwrap();
        assert!(endpoint.unwrap().starts_with("http://127.0.0.1:"));
        assert!(spans.are_kept());
        assert_eq!(spans.collector().unwrap().endpoint, theirs);

        let (endpoint, spans) = told(&[(NAME, "")], false).unwrap();
        assert_eq!(endpoint.as_deref(), Some(""));
        assert!(!spans.are_kept() && spans.reason().contains("set to nothing"));
    }

    #[tokio::test]
    async fn what_is_no_collectors_address_is_refused() {
        let refused = told(&[(NAME, "localhost:4317")], true).unwrap_err();
        assert_eq!(refused.exit_code(), 64);
        let text = refused.to_string();
        assert!(
            text.contains(r#"OTEL_EXPORTER_OTLP_ENDPOINT="localhost:4317" must be"#),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_sampler_is_a_reason_why_there_is_no_trace() {
        let (_, spans) = told(&[("OTEL_TRACES_SAMPLER", "always_off")], false).unwrap();
        assert!(spans.are_kept() && spans.reason().contains("always_off"));
    }
}
