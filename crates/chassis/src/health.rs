//! `grpc.health.v1`: says of the process and of each of its services what [`Readiness`] says.
//!
//! A watch ends with NOT_SERVING when the process drains: nothing that never ends may be in flight then.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{self, Health, HealthServer},
};

use crate::{readiness::Readiness, shutdown::Shutdown};

/// The full name of the health service.
pub(crate) const NAME: &str = health_server::SERVICE_NAME;

/// The health service of a process that has these services.
pub(crate) fn service(
    services: Vec<&'static str>,
    readiness: Readiness,
    shutdown: Shutdown,
) -> HealthServer<Follower> {
    HealthServer::new(Follower {
        services,
        readiness,
        shutdown,
    })
}

/// Follows the process's readiness.
#[derive(Debug)]
pub(crate) struct Follower {
    services: Vec<&'static str>,
    readiness: Readiness,
    shutdown: Shutdown,
}

type Answers = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Health for Follower {
    type WatchStream = Answers;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.get_ref().service) {
            return Err(Status::not_found("no such service here"));
        }
        Ok(Response::new(answer(status(self.readiness.is_ready()))))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Answers>, Status> {
        let drained = self.shutdown.draining();
        let answers = if self.knows(&request.get_ref().service) {
            changes(self.readiness.clone(), self.shutdown.clone()).left_stream()
        } else {
            // As the protocol has it: said once, and the stream stays open.
            let unknown = stream::iter([ServingStatus::ServiceUnknown]);
            unknown
                .chain(stream::pending())
                .take_until(drained)
                .right_stream()
        };
        Ok(Response::new(Box::pin(
            answers.map(|status| Ok(answer(status))),
        )))
    }
}

impl Follower {
    /// The empty name is the whole process.
    fn knows(&self, service: &str) -> bool {
        service.is_empty() || self.services.contains(&service)
    }
}

/// The status now and at every change; NOT_SERVING is the last word of a process that drains.
fn changes(
    readiness: Readiness,
    shutdown: Shutdown,
) -> impl Stream<Item = ServingStatus> + Send + use<> {
    let begin = Some((readiness, shutdown, None::<bool>));
    stream::unfold(begin, async |state| {
        let (readiness, shutdown, said) = state?;
        let ready = match said {
            None => readiness.is_ready(),
            Some(said) => tokio::select! {
                () = readiness.becomes(!said) => !said,
                () = shutdown.draining() => return Some((ServingStatus::NotServing, None)),
            },
        };
        Some((status(ready), Some((readiness, shutdown, Some(ready)))))
    })
}

fn status(ready: bool) -> ServingStatus {
    if ready {
        ServingStatus::Serving
    } else {
        ServingStatus::NotServing
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse {
        status: status.into(),
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;
    use crate::shutdown::Trigger;

    fn follower(readiness: &Readiness, trigger: &Trigger) -> Follower {
        Follower {
            services: vec!["shop.a.v1.A"],
            readiness: readiness.clone(),
            shutdown: trigger.shutdown(),
        }
    }

    fn of(service: &str) -> Request<HealthCheckRequest> {
        Request::new(HealthCheckRequest {
            service: service.to_owned(),
        })
    }

    async fn watch(follower: &Follower, service: &str) -> Answers {
        follower.watch(of(service)).await.unwrap().into_inner()
    }

    #[tokio::test]
    async fn every_service_is_as_ready_as_the_process() {
        let (readiness, trigger) = (Readiness::default(), Trigger::new());
        let store = readiness.register("store");
        let follower = follower(&readiness, &trigger);
        for name in ["", "shop.a.v1.A"] {
            let answer = follower.check(of(name)).await.unwrap();
            assert_eq!(answer.get_ref().status(), ServingStatus::NotServing);
        }
        store.ready();
        let answer = follower.check(of("shop.a.v1.A")).await.unwrap();
        assert_eq!(answer.get_ref().status(), ServingStatus::Serving);
        let unknown = follower.check(of("shop.b.v1.B")).await.unwrap_err();
        assert_eq!(unknown.code(), tonic::Code::NotFound);
    }

    #[tokio::test]
    async fn a_watch_says_every_change_and_ends_when_the_process_drains() {
        let (readiness, trigger) = (Readiness::default(), Trigger::new());
        let store = readiness.register("store");
        let mut answers = task::spawn(watch(&follower(&readiness, &trigger), "").await);
        let mut next = |expected: Option<ServingStatus>| {
            let answer = assert_ready!(answers.poll_next());
            assert_eq!(answer.map(|answer| answer.unwrap().status()), expected);
            if expected.is_some() && expected != Some(ServingStatus::NotServing) {
                assert_pending!(answers.poll_next());
            }
        };
        next(Some(ServingStatus::NotServing));
        store.ready();
        next(Some(ServingStatus::Serving));
        trigger.drain();
        next(Some(ServingStatus::NotServing));
        next(None);
    }

    #[tokio::test]
    async fn a_watch_of_an_unknown_service_stays_open_until_the_process_drains() {
        let (readiness, trigger) = (Readiness::default(), Trigger::new());
        let mut answers = task::spawn(watch(&follower(&readiness, &trigger), "nobody").await);
        let first = assert_ready!(answers.poll_next()).unwrap().unwrap();
        assert_eq!(first.status(), ServingStatus::ServiceUnknown);
        assert_pending!(answers.poll_next());
        trigger.drain();
        assert!(assert_ready!(answers.poll_next()).is_none());
    }
}
