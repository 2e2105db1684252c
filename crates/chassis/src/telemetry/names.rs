//! Attribute names of spans and of their resource, as OpenTelemetry's semantic conventions have them.

/// What kind of error a span ended with: a status code or a gRPC status name.
pub const ERROR_TYPE: &str = "error.type";
/// The HTTP method.
pub const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// The HTTP status.
pub const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// The matched route.
pub const HTTP_ROUTE: &str = "http.route";
/// `1.1` or `2`.
pub const NETWORK_PROTOCOL_VERSION: &str = "network.protocol.version";
/// The gRPC status as a number.
pub const RPC_GRPC_STATUS_CODE: &str = "rpc.grpc.status_code";
/// The RPC's name.
pub const RPC_METHOD: &str = "rpc.method";
/// The service's full name.
pub const RPC_SERVICE: &str = "rpc.service";
/// `grpc`.
pub const RPC_SYSTEM: &str = "rpc.system";
/// The process that made the span.
pub const SERVICE_NAME: &str = "service.name";
/// Its version.
pub const SERVICE_VERSION: &str = "service.version";
/// The path that was asked for.
pub const URL_PATH: &str = "url.path";
/// `http` or `https`.
pub const URL_SCHEME: &str = "url.scheme";
