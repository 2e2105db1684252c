//! gRPC services behind the stack, found by the first part of the path.
//!
//! Reflection and `grpc.health.v1` are added here. No tonic server and no router: one map, one look-up.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use ::http::{Request, Response};
use bytes::Bytes;
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tonic::{Status, body::Body, codegen::BoxFuture, server::NamedService};
use tower::Service;

use super::{
    routes::{Class, Routes},
    upload::Upload,
};
use crate::{BoxError, health, readiness::Readiness, shutdown::Shutdown};

type Answer = BoxFuture<Response<Body>, Infallible>;

/// The gRPC services of a process.
pub struct GrpcInbound {
    descriptors: &'static [u8],
    services: Vec<(&'static str, Box<dyn Handler>)>,
    critical: Vec<&'static str>,
}

/// What tonic generates for a service; implemented by itself.
pub trait Generated:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
    + NamedService
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Generated for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// The services by name.
#[derive(Clone)]
pub(crate) struct Services(Arc<HashMap<&'static str, Box<dyn Handler>>>);

/// A generated server, whatever its type.
trait Handler: Send + Sync {
    fn handle(&self, request: Request<Body>) -> Answer;
}

impl<S: Generated> Handler for S {
    fn handle(&self, request: Request<Body>) -> Answer {
        // A generated server is a handle, and always ready.
        self.clone().call(request)
    }
}

impl GrpcInbound {
    /// No service yet. `descriptors`, a serialized `FileDescriptorSet`, describes those that will be added.
    #[must_use]
    pub fn new(descriptors: &'static [u8]) -> Self {
        Self {
            descriptors,
            services: Vec::new(),
            critical: Vec::new(),
        }
    }

    /// Answers for `service`, a generated server.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "it adds to a list, nothing is summed"
    )]
    pub fn add<S: Generated>(mut self, service: S) -> Self {
        self.services.push((S::NAME, Box::new(service)));
        self
    }

    /// The RPC `/package.Service/Method` reads what exists already: a part of the process is kept for it when room is
    /// short.
    #[must_use]
    pub fn critical(mut self, rpc: &'static str) -> Self {
        self.critical.push(rpc);
        self
    }

    pub(super) fn build(
        mut self,
        readiness: Readiness,
        shutdown: Shutdown,
    ) -> Result<(Services, Routes), BoxError> {
        let names: Vec<_> = self.services.iter().map(|(name, _)| *name).collect();
        let health = health::service(names.clone(), readiness, shutdown);
        let (v1, v1alpha) = reflection(self.descriptors, &names)?;
        self = self.add(health).add(v1).add(v1alpha);
        let methods = self.methods()?;
        if let Some(rpc) = self.critical.iter().find(|rpc| {
            let known = |(path, _): &(String, Class)| path == *rpc;
            !methods.iter().any(known)
        }) {
            return Err(format!("{rpc} is called critical but no service here has it").into());
        }
        let services = self.services.into_iter().collect();
        Ok((Services(Arc::new(services)), Routes::grpc(methods)))
    }

    /// The path of every method of the services added.
    fn methods(&self) -> Result<Vec<(String, Class)>, BoxError> {
        let described = described(&[
            self.descriptors,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ])?;
        let mut methods = Vec::new();
        for (service, _) in &self.services {
            let names = described
                .get(*service)
                .ok_or_else(|| format!("service {service} is not in the descriptors"))?;
            methods.extend(names.iter().map(|method| {
                let path = format!("/{service}/{method}");
                let class = self.class(service, &path);
                (path, class)
            }));
        }
        Ok(methods)
    }

    fn class(&self, service: &str, path: &str) -> Class {
        if service == health::NAME {
            Class::Health
        } else if self.critical.contains(&path) {
            Class::Critical
        } else {
            Class::Normal
        }
    }
}

/// Both versions of reflection: tools still ask for the older one.
fn reflection(
    descriptors: &'static [u8],
    names: &[&'static str],
) -> Result<(impl Generated + use<>, impl Generated + use<>), BoxError> {
    let builder = || {
        let builder = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(descriptors)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .with_service_name(health::NAME);
        names
            .iter()
            .fold(builder, |builder, name| builder.with_service_name(*name))
    };
    Ok((builder().build_v1()?, builder().build_v1alpha()?))
}

/// The methods of every service in the descriptors.
fn described(sets: &[&[u8]]) -> Result<HashMap<String, Vec<String>>, prost::DecodeError> {
    let mut described = HashMap::new();
    for set in sets {
        for file in FileDescriptorSet::decode(*set)?.file {
            let package = file.package().to_owned();
            for service in file.service {
                let name = format!("{package}.{}", service.name());
                let methods = service.method.iter();
                let methods = methods.map(|method| method.name().to_owned()).collect();
                described.insert(name, methods);
            }
        }
    }
    Ok(described)
}

impl<B> Service<Request<Upload<B>>> for Services
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Upload<B>>) -> Answer {
        let name = request.uri().path().split('/').nth(1).unwrap_or_default();
        match self.0.get(name) {
            Some(service) => service.handle(request.map(Body::new)),
            None => Box::pin(std::future::ready(Ok(Status::unimplemented(
                "no such service",
            )
            .into_http()))),
        }
    }
}

impl fmt::Debug for GrpcInbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrpcInbound")
            .field(
                "services",
                &self
                    .services
                    .iter()
                    .map(|(name, _)| name)
                    .collect::<Vec<_>>(),
            )
            .field("critical", &self.critical)
            .finish_non_exhaustive()
    }
}
