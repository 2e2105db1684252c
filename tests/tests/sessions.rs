//! A session, as a browser sees it.

use mesh_tests::Processes;

#[tokio::test]
async fn a_session_is_an_opaque_cookie() {
    let processes = Processes::start().await;
    let answer = processes
        .gateway()
        .get("/v1/cart")
        .send()
        .await
        .expect_status(200);
    let cookie = answer.header("set-cookie");
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=86400"] {
        assert!(
            cookie
                .split("; ")
                .any(|part| part.eq_ignore_ascii_case(attribute)),
            "{attribute}: {cookie}"
        );
    }
    let again = processes
        .gateway()
        .get("/v1/cart")
        .cookie(&answer.cookie().expect("a cookie"))
        .send()
        .await;
    assert_eq!(again.status, 200);
    let products = processes.gateway().get("/v1/products").send().await;
    assert_eq!(
        products.header("set-cookie"),
        "",
        "nobody needs a session to look around"
    );
}
