//! Who the spans and log lines are from: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`.

use mesh_config::Reader;
use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

use super::names::{SERVICE_NAME, SERVICE_VERSION};
use crate::version::VERSION;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourceConfig {
    /// `OTEL_SERVICE_NAME`, else the attribute of that meaning, else the process's name.
    pub(crate) service: String,
    attributes: Vec<(String, String)>,
}

impl ResourceConfig {
    pub(crate) fn read(reader: &mut Reader<'_>, name: &'static str) -> Self {
        let attributes = reader
            .parsed("OTEL_RESOURCE_ATTRIBUTES", "", parse)
            .unwrap_or_default();
        let own = attributes.iter().find(|(key, _)| key == SERVICE_NAME);
        let default = own.map_or(name, |(_, value)| value);
        Self {
            service: reader.text("OTEL_SERVICE_NAME", default),
            attributes,
        }
    }

    /// As the collector gets it.
    pub(crate) fn resource(&self) -> Resource {
        let attributes = self
            .attributes
            .iter()
            .cloned()
            .map(|(key, value)| KeyValue::new(key, value));
        Resource::builder_empty()
            .with_attribute(KeyValue::new(SERVICE_VERSION, VERSION))
            .with_attributes(attributes)
            .with_service_name(self.service.clone())
            .build()
    }
}

/// `key=value,key=value`, where what is not plain text is percent-encoded.
fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = text
        .split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            parse_pair(pair).ok_or_else(|| format!("{pair:?} must be key=value, percent-encoded"))
        })
        .collect()
}

fn parse_pair(pair: &str) -> Option<(String, String)> {
    let (key, value) = pair.split_once('=')?;
    let key = decode(key.trim())?;
    (!key.is_empty()).then_some((key, decode(value.trim())?))
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let hex = |digit: &u8| char::from(*digit).to_digit(16);
        let [high, low, tail @ ..] = rest else {
            return None;
        };
        bytes.push(u8::try_from(hex(high)? * 16 + hex(low)?).ok()?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn attributes_are_pairs_percent_encoded() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(parse("").unwrap(), []);
        assert_eq!(
            parse("team=shop, k=a%2Cb%3Dc,").unwrap(),
            [pair("team", "shop"), pair("k", "a,b=c")]
        );
        assert_eq!(parse("k=").unwrap(), [pair("k", "")]);
        for text in ["team", "=shop", "k=%", "k=%2", "k=%zz", "k=%ff"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_service_is_named_by_its_variable_its_attribute_or_its_process_in_that_order() {
        for (name, attributes, service) in [
            (None, None, "orders"),
            (None, Some("service.name=shop-orders"), "shop-orders"),
            (
                Some("orders-2"),
                Some("service.name=shop-orders"),
                "orders-2",
            ),
        ] {
            let pairs = [
                ("OTEL_SERVICE_NAME", name),
                ("OTEL_RESOURCE_ATTRIBUTES", attributes),
            ];
            let set = pairs
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
            let source: BTreeMap<_, _> = set.collect();
            let config = ResourceConfig::read(&mut Reader::new(&source), "orders");
            assert_eq!(config.service, service);
            let resource = config.resource();
            assert_eq!(
                resource.get(&SERVICE_NAME.into()).unwrap().as_str(),
                service
            );
            assert_eq!(
                resource.get(&SERVICE_VERSION.into()).unwrap().as_str(),
                VERSION
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".*") {
            let _ = parse(&text);
        }
    }
}
