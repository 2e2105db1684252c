//! Two scrapes and what they say.

use proptest::prelude::*;

use super::*;

const BEFORE: &str = r#"
# TYPE http_requests_total counter
http_requests_total{method="POST",route="/v1/orders",status="201",grpc_status=""} 100
http_requests_total{method="POST",route="/v1/orders",status="503",grpc_status=""} 5
http_requests_total{method="POST",route="/grpc.health.v1.Health/Check",status="200",grpc_status="OK"} 10
http_request_duration_seconds_bucket{method="POST",route="/v1/orders",le="0.1"} 100
http_request_duration_seconds_bucket{method="POST",route="/v1/orders",le="1"} 105
http_request_duration_seconds_bucket{method="POST",route="/v1/orders",le="+Inf"} 105
client_requests_total{peer="orders",method="PlaceOrder",code="OK"} 100
queue_messages_published_total{queue="fulfillment"} 40
process_start_time_seconds 1700000000
"#;

const AFTER: &str = r#"
# TYPE http_requests_total counter
http_requests_total{method="POST",route="/v1/orders",status="201",grpc_status=""} 130
http_requests_total{method="POST",route="/v1/orders",status="404",grpc_status=""} 4
http_requests_total{method="POST",route="/v1/orders",status="503",grpc_status=""} 9
http_requests_total{method="POST",route="/a.B/C",status="200",grpc_status="UNAVAILABLE"} 2
http_requests_total{method="POST",route="/grpc.health.v1.Health/Check",status="200",grpc_status="OK"} 1000
http_requests_total{method="POST",route="/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",status="200",grpc_status="OK"} 1000
http_request_duration_seconds_bucket{method="POST",route="/v1/orders",le="0.1"} 120
http_request_duration_seconds_bucket{method="POST",route="/v1/orders",le="1"} 145
http_request_duration_seconds_bucket{method="POST",route="/v1/orders",le="+Inf"} 145
http_request_duration_seconds_bucket{method="POST",route="/grpc.health.v1.Health/Watch",le="0.1"} 0
http_request_duration_seconds_bucket{method="POST",route="/grpc.health.v1.Health/Watch",le="1"} 0
http_request_duration_seconds_bucket{method="POST",route="/grpc.health.v1.Health/Watch",le="+Inf"} 900
http_requests_in_flight 3
client_requests_total{peer="orders",method="PlaceOrder",code="OK"} 120
client_requests_total{peer="orders",method="PlaceOrder",code="NOT_FOUND"} 2
client_requests_total{peer="orders",method="PlaceOrder",code="DEADLINE_EXCEEDED"} 2
client_requests_total{peer="inventory",method="ListProducts",code="OK"} 8
client_calls_not_started_total{peer="inventory",reason="deadline"} 2
client_request_duration_seconds_bucket{peer="inventory",method="ListProducts",code="OK",le="0.1"} 8
client_request_duration_seconds_bucket{peer="inventory",method="ListProducts",code="OK",le="+Inf"} 8
queue_messages_published_total{queue="fulfillment"} 47
process_resident_memory_bytes 12582912
process_start_time_seconds 1700000000
"#;

const WORKER: &str = r#"
queue_messages_consumed_total{queue="fulfillment",outcome="acked"} 6
queue_messages_consumed_total{queue="fulfillment",outcome="released"} 2
queue_messages_consumed_total{queue="fulfillment",outcome="dead_lettered"} 1
queue_messages_consumed_total{queue="fulfillment",outcome="lost"} 1
queue_message_duration_seconds_bucket{queue="fulfillment",le="0.1"} 10
queue_message_duration_seconds_bucket{queue="fulfillment",le="+Inf"} 10
"#;

fn metrics(text: &str) -> Metrics {
    Metrics::parse(text).unwrap()
}

fn between(before: &str, after: &str) -> Figures {
    Figures::between(&metrics(before), &metrics(after), Duration::from_secs(2))
}

#[track_caller]
fn same(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
}

#[test]
fn requests_are_counted_and_questions_about_the_process_are_not() {
    let figures = between(BEFORE, AFTER);
    // 30 + 4 + 4 + 2 in two seconds, of which 4 + 2 failed.
    same(figures.rate, 20.0);
    same(figures.errors, 3.0);
    // 20 below 0.1 s, 20 more below 1 s: at nine tenths of the second bucket.
    same(figures.p95.unwrap().as_secs_f64(), 0.91);
    assert_eq!(figures.in_flight, 3);
    assert_eq!(figures.rss, 12 << 20);
    same(figures.published, 3.5);
    same(figures.consumed, 0.0);
}

#[test]
fn calls_are_told_by_peer_with_those_that_were_not_started() {
    let figures = between(BEFORE, AFTER);
    let [inventory, orders] = &figures.calls[..] else {
        panic!("{figures:?}");
    };
    assert_eq!(
        (inventory.peer.as_str(), orders.peer.as_str()),
        ("inventory", "orders")
    );
    same(inventory.rate, 5.0);
    same(inventory.errors, 1.0);
    same(inventory.p95.unwrap().as_secs_f64(), 0.095);
    same(orders.rate, 12.0);
    same(orders.errors, 1.0);
    assert_eq!(orders.p95, None);
}

#[test]
fn a_worker_has_messages_where_others_have_requests() {
    let figures = between("", WORKER);
    same(figures.rate, 0.0);
    same(figures.consumed, 5.0);
    same(figures.errors, 1.0);
    same(figures.p95.unwrap().as_secs_f64(), 0.095);
    assert_eq!(between(WORKER, WORKER).p95, None);
}

#[test]
fn a_counter_that_went_back_counts_from_zero() {
    let figures = between("http_requests_total 100", "http_requests_total 10");
    same(figures.rate, 5.0);
}

#[test]
fn a_process_that_was_started_again_counts_from_zero() {
    let after = AFTER.replace("1700000000", "1700000007");
    let figures = between(BEFORE, &after);
    // 130 + 4 + 9 + 2 in two seconds.
    same(figures.rate, 72.5);
}

#[test]
fn no_time_is_no_rate() {
    let (before, after) = (metrics(BEFORE), metrics(AFTER));
    let figures = Figures::between(&before, &after, Duration::ZERO);
    same(figures.rate, 0.0);
    assert_eq!(figures.p95, None);
}

#[test]
fn units_stand_in_the_names_of_the_json() {
    let json = serde_json::to_value(between(BEFORE, AFTER)).unwrap();
    assert_eq!(json["rss_bytes"], 12 << 20);
    same(json["p95_seconds"].as_f64().unwrap(), 0.91);
    assert!(json["calls"][1]["p95_seconds"].is_null());
}

proptest! {
    #[test]
    fn whatever_two_scrapes_say_no_figure_is_negative_or_endless(
        before in proptest::collection::vec(0.0_f64..1e15, 7),
        after in proptest::collection::vec(0.0_f64..1e15, 7),
        millis in 0_u64..5_000,
    ) {
        let names = [
            "http_requests_total{status=\"500\"}",
            "http_requests_in_flight",
            "http_request_duration_seconds_bucket{le=\"0.1\"}",
            "http_request_duration_seconds_bucket{le=\"+Inf\"}",
            "queue_messages_consumed_total{outcome=\"lost\"}",
            "queue_messages_published_total",
            "client_requests_total{peer=\"a\",code=\"OK\"}",
        ];
        let text = |values: &[f64]| -> String {
            names.iter().zip(values).map(|(name, value)| format!("{name} {value}\n")).collect()
        };
        let (before, after) = (metrics(&text(&before)), metrics(&text(&after)));
        let figures = Figures::between(&before, &after, Duration::from_millis(millis));
        let rates = [figures.rate, figures.errors, figures.published, figures.consumed, figures.calls[0].rate];
        for rate in rates {
            prop_assert!(rate.is_finite() && rate >= 0.0, "{figures:?}");
        }
        prop_assert!(figures.p95.is_none_or(|p95| p95 <= Duration::from_millis(100)));
    }
}
