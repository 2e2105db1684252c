//! gRPC status codes: their names, and whose fault each is.

use mesh_context::GRPC_CODES;
use tonic::Code;

/// As the gRPC specification writes it.
pub(super) fn name(code: Code) -> &'static str {
    GRPC_CODES[code as usize]
}

/// The codes that make a server span an error, by OpenTelemetry's conventions for gRPC.
pub(super) fn is_server_fault(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of numbers are beside the numbers; here they meet the codes, which write themselves as `DataLoss`.
    #[test]
    fn every_code_has_its_own_name() {
        for (number, name) in GRPC_CODES.into_iter().enumerate() {
            let code = Code::from_i32(i32::try_from(number).unwrap());
            assert_eq!(name, self::name(code));
            assert_eq!(name.replace('_', ""), format!("{code:?}").to_uppercase());
        }
    }
}
