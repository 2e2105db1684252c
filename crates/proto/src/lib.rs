//! Generated gRPC types of the shop, nothing else.
//!
//! The sources are `proto/shop/<service>/v1/<service>.proto`; `scripts/generate` writes `src/generated/`, and the test
//! `generated` fails when the two differ.

/// Every message and service, for reflection and for those who ask what a method is called and whether it may be
/// repeated (`idempotency_level`). A serialized `google.protobuf.FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!("generated/descriptors.bin");

macro_rules! package {
    ($(#[$doc:meta])* $name:ident, $file:literal) => {
        $(#[$doc])*
        pub mod $name {
            /// Version 1 of the package.
            #[allow(clippy::allow_attributes, reason = "generated code: which lints it trips changes with the generator")]
            #[allow(clippy::all, clippy::pedantic, clippy::restriction, reason = "generated code")]
            #[allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated code")]
            pub mod v1 {
                include!($file);
            }
        }
    };
}

package!(
    /// Amounts of money.
    money, "generated/shop.money.v1.rs"
);
package!(
    /// The catalogue and the stock.
    inventory, "generated/shop.inventory.v1.rs"
);
package!(
    /// Charges and refunds.
    payments, "generated/shop.payments.v1.rs"
);
package!(
    /// Orders.
    orders, "generated/shop.orders.v1.rs"
);
