//! Tokens at the ingress: a RequestAuthentication and the AuthorizationPolicies beside it, translated as istiod does.

use mesh_manifests::{Manifests, Object};
use serde_json::{Value, json};

/// Where the first filter leaves the token's claims for the second.
const JWT: &str = "envoy.filters.http.jwt_authn";
const RBAC: &str = "envoy.filters.http.rbac";

/// The filters, in their order; none without such objects.
pub(super) fn filters(manifests: &Manifests) -> Vec<Value> {
    let tokens = manifests.of("RequestAuthentication").map(token_filter);
    let policies = manifests
        .of("AuthorizationPolicy")
        .filter(|policy| policy.at("/spec/selector/matchLabels/istio") == "ingressgateway");
    tokens.chain(policies.map(policy_filter)).collect()
}

/// Every token that is there must be good; none need be there.
fn token_filter(authentication: &Object) -> Value {
    let rules: Vec<_> = authentication.list("/spec/jwtRules").collect();
    let [rule] = rules[..] else {
        panic!(
            "{authentication}: one issuer is translated, not {}",
            rules.len()
        )
    };
    let headers = rule["fromHeaders"].as_array().into_iter().flatten();
    let headers =
        headers.map(|from| json!({ "name": from["name"], "value_prefix": from["prefix"] }));
    json!({ "name": JWT, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": { "issuer": {
            "issuer": rule["issuer"],
            "audiences": rule["audiences"],
            "local_jwks": { "inline_string": rule["jwks"] },
            "from_headers": headers.collect::<Vec<_>>(),
            "forward": rule["forwardOriginalToken"],
            "payload_in_metadata": "payload",
        } },
        "rules": [{ "match": { "prefix": "/" }, "requires": { "requires_any": { "requirements": [
            { "provider_name": "issuer" },
            { "allow_missing": {} },
        ] } } }],
    } })
}

fn policy_filter(policy: &Object) -> Value {
    assert_eq!(
        policy.at("/spec/action"),
        "ALLOW",
        "{policy}: others are not translated"
    );
    let rules = policy.list("/spec/rules").enumerate().map(|(index, rule)| {
        let from = rule["from"]
            .as_array()
            .map(|from| from.iter().map(principal).collect());
        let to = rule["to"]
            .as_array()
            .map(|to| to.iter().map(permission).collect());
        let rule = json!({
            "principals": from.unwrap_or_else(|| vec![json!({ "any": true })]),
            "permissions": to.unwrap_or_else(|| vec![json!({ "any": true })]),
        });
        (format!("rule-{index}"), rule)
    });
    json!({ "name": RBAC, "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
        "rules": { "action": "ALLOW", "policies": rules.collect::<serde_json::Map<_, _>>() },
    } })
}

/// Whoever has a good token.
fn principal(from: &Value) -> Value {
    assert_eq!(
        from,
        &json!({ "source": { "requestPrincipals": ["*"] } }),
        "others are not translated"
    );
    json!({ "metadata": {
        "filter": JWT,
        "path": [{ "key": "payload" }, { "key": "sub" }],
        "value": { "string_match": { "safe_regex": { "regex": ".+" } } },
    } })
}

fn permission(to: &Value) -> Value {
    let operation = to["operation"].as_object().expect("an operation");
    let known = operation
        .keys()
        .all(|name| ["methods", "paths"].contains(&name.as_str()));
    assert!(known, "others are not translated: {to}");
    let any = |values: Option<&Value>, rule: fn(&Value) -> Value| {
        let values = values.and_then(Value::as_array).into_iter().flatten();
        json!({ "or_rules": { "rules": values.map(rule).collect::<Vec<_>>() } })
    };
    let method = |method: &Value| json!({ "header": { "name": ":method", "string_match": { "exact": method } } });
    let path = |path: &Value| json!({ "url_path": { "path": { "exact": path } } });
    json!({ "and_rules": { "rules": [
        any(operation.get("methods"), method),
        any(operation.get("paths"), path),
    ] } })
}
