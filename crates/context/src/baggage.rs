//! W3C Baggage, passed on within limits: a stranger's header must not grow from hop to hop.

use http::HeaderValue;

/// Members passed on at most.
const MEMBERS: usize = 8;
/// Bytes passed on at most.
const BYTES: usize = 1024;

/// The first members of all `baggage` headers, as many as fit whole. `None` when nothing is left.
pub(crate) fn limited<'h>(received: impl Iterator<Item = &'h HeaderValue>) -> Option<HeaderValue> {
    let mut kept = String::new();
    let texts = received.filter_map(|value| value.to_str().ok());
    let members = texts
        .flat_map(|text| text.split(','))
        .map(str::trim)
        .filter(|member| member.find('=').is_some_and(|key| key > 0));
    for member in members.take(MEMBERS) {
        let comma = if kept.is_empty() { "" } else { "," };
        if kept.len() + comma.len() + member.len() > BYTES {
            break;
        }
        kept.push_str(comma);
        kept.push_str(member);
    }
    (!kept.is_empty())
        .then(|| HeaderValue::try_from(kept).expect("parts of header values are a header value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(texts: &[&str]) -> Option<String> {
        let values: Vec<_> = texts
            .iter()
            .map(|t| HeaderValue::from_bytes(t.as_bytes()).expect("a value"))
            .collect();
        limited(values.iter()).map(|v| v.to_str().expect("ascii").to_owned())
    }

    #[test]
    fn at_most_eight_members_and_one_kibibyte_pass() {
        assert_eq!(
            limit(&["a=1, b=2;p=q", "c=3"]).as_deref(),
            Some("a=1,b=2;p=q,c=3")
        );
        let nine = (0..9)
            .map(|i| format!("k{i}=v"))
            .collect::<Vec<_>>()
            .join(",");
        assert_eq!(limit(&[&nine]).expect("eight").split(',').count(), 8);
        let big = format!("a=1,b={},c=3", "x".repeat(1100));
        assert_eq!(limit(&[&big]).as_deref(), Some("a=1"));
        assert_eq!(limit(&["", "junk", ",", "=v"]), None);
        for whole in [
            format!("a={},b=2", "x".repeat(1018)),
            "a=".to_owned() + &"x".repeat(1022),
        ] {
            assert_eq!(limit(&[&whole]), Some(whole));
        }
        assert_eq!(limit(&[&format!("a={}", "x".repeat(1023))]), None);
    }
}
