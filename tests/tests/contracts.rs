//! What every gRPC port offers besides its service, and what the protos promise about repeating a call.

use mesh_tests::{Processes, call};
use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto, method_options::IdempotencyLevel};
use tonic::Code;

const SERVICES: [(&str, &str); 3] = [
    ("inventory", "shop.inventory.v1.InventoryService"),
    ("orders", "shop.orders.v1.OrdersService"),
    ("payments", "shop.payments.v1.PaymentsService"),
];
/// Fields that make a write harmless to repeat.
const KEYS: [&str; 5] = ["idempotency_key", "key", "order_id", "message_id", "id"];

#[derive(Clone, PartialEq, prost::Message)]
struct ListServices {
    #[prost(string, tag = "7")]
    list_services: String,
}

#[tokio::test]
async fn health_and_reflection_are_on_every_grpc_port() {
    let processes = Processes::start().await;
    for (process, service) in SERVICES {
        let address = processes.address(process);
        for asked in ["", service] {
            let health = call(
                address,
                "/grpc.health.v1.Health/Check",
                &[],
                &asked.to_owned(),
            )
            .await;
            assert_eq!(health.decode::<u32>(), 1, "{process} serves {asked:?}");
        }
        let unknown = call(
            address,
            "/grpc.health.v1.Health/Check",
            &[],
            &"nothing".to_owned(),
        )
        .await;
        assert_eq!(
            unknown.code,
            Code::NotFound,
            "{process}: {}",
            unknown.message
        );

        let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
        let list = ListServices {
            list_services: "*".to_owned(),
        };
        let listed = call(address, reflection, &[], &list).await;
        assert_eq!(listed.code, Code::Ok, "{process}: {}", listed.message);
        let text = String::from_utf8_lossy(&listed.body).into_owned();
        assert!(
            text.contains(service) && text.contains("grpc.health.v1.Health"),
            "{process}: {text}"
        );

        let unknown = call(address, &format!("/{service}/Nothing"), &[], &()).await;
        assert_eq!(
            unknown.code,
            Code::Unimplemented,
            "{process}: {}",
            unknown.message
        );
    }
}

#[test]
fn every_rpc_says_whether_it_may_be_repeated_and_writes_carry_a_key() {
    let descriptors =
        FileDescriptorSet::decode(mesh_proto::FILE_DESCRIPTOR_SET).expect("it is one");
    let mut rpcs = 0;
    for file in &descriptors.file {
        for method in file.service.iter().flat_map(|service| &service.method) {
            rpcs += 1;
            match level(method) {
                IdempotencyLevel::NoSideEffects => {}
                IdempotencyLevel::Idempotent => {
                    let input = method.input_type().rsplit('.').next().expect("a name");
                    let message = file
                        .message_type
                        .iter()
                        .find(|message| message.name() == input);
                    let fields = &message.expect("requests are beside their service").field;
                    let keyed = fields.iter().any(|field| KEYS.contains(&field.name()));
                    assert!(keyed, "{} has no key", method.name());
                }
                IdempotencyLevel::IdempotencyUnknown => panic!("{} does not say it", method.name()),
            }
        }
    }
    assert!(rpcs > 0, "the descriptors name no RPC");
}

fn level(method: &MethodDescriptorProto) -> IdempotencyLevel {
    method
        .options
        .as_ref()
        .map_or(IdempotencyLevel::IdempotencyUnknown, |options| {
            options.idempotency_level()
        })
}
