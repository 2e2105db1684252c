//! The profile format of `go tool pprof`: a gzipped protobuf of numbers into a table of strings.
//!
//! <https://github.com/google/pprof/blob/main/proto/profile.proto>; only the fields that are written stand here.

use std::{
    collections::HashMap,
    io::{self, Write as _},
    time::{SystemTime, UNIX_EPOCH},
};

use flate2::{Compression, write::GzEncoder};
use prost::Message;

use super::{Samples, Scale, symbols::Symbols};

#[derive(Clone, PartialEq, Message)]
pub(super) struct Profile {
    #[prost(message, repeated, tag = "1")]
    pub(super) sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(super) sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    pub(super) location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub(super) function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    pub(super) string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    time_nanos: i64,
    #[prost(int64, tag = "10")]
    duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    period: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct ValueType {
    #[prost(int64, tag = "1")]
    pub(super) r#type: i64,
    #[prost(int64, tag = "2")]
    unit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    pub(super) location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub(super) value: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Mapping {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(uint64, tag = "2")]
    memory_start: u64,
    #[prost(uint64, tag = "3")]
    memory_limit: u64,
    #[prost(uint64, tag = "4")]
    file_offset: u64,
    #[prost(int64, tag = "5")]
    filename: i64,
    #[prost(bool, tag = "7")]
    has_functions: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Location {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(uint64, tag = "2")]
    mapping_id: u64,
    #[prost(uint64, tag = "3")]
    address: u64,
    #[prost(message, repeated, tag = "4")]
    pub(super) line: Vec<Line>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Line {
    #[prost(uint64, tag = "1")]
    pub(super) function_id: u64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Function {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(int64, tag = "2")]
    pub(super) name: i64,
    #[prost(int64, tag = "3")]
    system_name: i64,
}

/// Gzipped. A stack ends at the first address that is no code.
pub(super) fn encode(samples: &Samples, scale: &Scale, symbols: &Symbols) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new(symbols);
    for (stack, values) in samples {
        writer.sample(stack, values);
    }
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(&writer.finish(scale).encode_to_vec())?;
    zipped.finish()
}

/// Numbers addresses, functions and strings as they come.
struct Writer<'s> {
    symbols: &'s Symbols,
    profile: Profile,
    strings: HashMap<String, i64>,
    locations: HashMap<u64, u64>,
    functions: HashMap<i64, u64>,
}

impl<'s> Writer<'s> {
    fn new(symbols: &'s Symbols) -> Self {
        let mut writer = Self {
            symbols,
            profile: Profile::default(),
            strings: HashMap::new(),
            locations: HashMap::new(),
            functions: HashMap::new(),
        };
        // The format wants the empty string first.
        writer.string("");
        for (index, mapping) in symbols.mappings.iter().enumerate() {
            let mapping = Mapping {
                id: index as u64 + 1,
                memory_start: mapping.start,
                memory_limit: mapping.end,
                file_offset: mapping.offset,
                filename: writer.string(&mapping.path),
                has_functions: true,
            };
            writer.profile.mapping.push(mapping);
        }
        writer
    }

    fn sample(&mut self, stack: &[u64], values: &[i64; 2]) {
        let location_id: Vec<u64> = stack
            .iter()
            .map_while(|address| self.location(*address))
            .collect();
        if !location_id.is_empty() {
            self.profile.sample.push(Sample {
                location_id,
                value: values.to_vec(),
            });
        }
    }

    fn location(&mut self, address: u64) -> Option<u64> {
        if let Some(id) = self.locations.get(&address) {
            return Some(*id);
        }
        let symbols = self.symbols;
        let name = self.string(symbols.name(address)?);
        let function_id = self.function(name);
        let mapping = self
            .profile
            .mapping
            .iter()
            .find(|m| (m.memory_start..m.memory_limit).contains(&address));
        let mapping_id = mapping.map_or(0, |mapping| mapping.id);
        let id = self.profile.location.len() as u64 + 1;
        self.profile.location.push(Location {
            id,
            mapping_id,
            address,
            line: vec![Line { function_id }],
        });
        self.locations.insert(address, id);
        Some(id)
    }

    fn function(&mut self, name: i64) -> u64 {
        let next = self.functions.len() as u64 + 1;
        *self.functions.entry(name).or_insert_with(|| {
            self.profile.function.push(Function {
                id: next,
                name,
                system_name: name,
            });
            next
        })
    }

    fn string(&mut self, text: &str) -> i64 {
        if let Some(index) = self.strings.get(text) {
            return *index;
        }
        let index = i64::try_from(self.profile.string_table.len()).unwrap_or(i64::MAX);
        self.profile.string_table.push(text.to_owned());
        self.strings.insert(text.to_owned(), index);
        index
    }

    fn finish(mut self, scale: &Scale) -> Profile {
        let (name, unit, period) = scale.period;
        let kind = |writer: &mut Self, name, unit| ValueType {
            r#type: writer.string(name),
            unit: writer.string(unit),
        };
        self.profile.sample_type = scale
            .values
            .map(|(name, unit)| kind(&mut self, name, unit))
            .to_vec();
        self.profile.period_type = Some(kind(&mut self, name, unit));
        self.profile.period = period;
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        self.profile.time_nanos = i64::try_from(now.as_nanos()).unwrap_or(i64::MAX);
        self.profile.duration_nanos = i64::try_from(scale.duration.as_nanos()).unwrap_or(i64::MAX);
        self.profile
    }
}
