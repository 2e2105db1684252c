//! Names of code addresses: functions of this executable from its symbol table, everything else by the file it lies in.
//!
//! The table is read from the file when a profile is asked for and kept no longer: symbolizing in the process must not make
//! the process larger than its memory limit.

use std::{collections::BTreeMap, fs::File, io, path::Path};

use object::{
    Object as _, ObjectSegment as _, ObjectSymbol as _, ReadCache, SegmentFlags, SymbolKind,
};

/// Executable pages and the file they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) offset: u64,
    pub(super) path: String,
}

/// Addresses of one profile, named.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    names: BTreeMap<u64, String>,
    pub(super) mappings: Vec<Mapping>,
}

impl Symbols {
    pub(super) fn of(addresses: impl Iterator<Item = u64>) -> Self {
        let mappings = mappings();
        let mut names = BTreeMap::new();
        for address in addresses {
            if let Some(mapping) = find(&mappings, address) {
                let file = Path::new(&mapping.path)
                    .file_name()
                    .map_or("?", |name| name.to_str().unwrap_or("?"));
                names.insert(address, format!("[{file}]"));
            }
        }
        let mut symbols = Self { names, mappings };
        // Without a symbol table the names of files have to do.
        if let Ok(functions) = symbols.functions() {
            symbols.names.extend(functions);
        }
        symbols
    }

    /// `None`: no code lies there, so the stack was not a stack from here on.
    pub(super) fn name(&self, address: u64) -> Option<&str> {
        self.names.get(&address).map(String::as_str)
    }

    /// Of the addresses inside this executable, the functions they lie in.
    fn functions(&self) -> io::Result<Vec<(u64, String)>> {
        let executable = std::env::current_exe()?;
        let cache = ReadCache::new(File::open(&executable)?);
        let file = object::File::parse(&cache).map_err(io::Error::other)?;
        let path = executable.to_string_lossy();
        let Some(bias) = self.bias(&file, &path) else {
            return Ok(Vec::new());
        };
        let mine = |address: u64| {
            find(&self.mappings, address).is_some_and(|mapping| mapping.path == path)
        };
        let mut found: BTreeMap<u64, (u64, String)> = BTreeMap::new();
        for symbol in file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
        {
            let start = symbol.address().wrapping_add(bias);
            let end = start.saturating_add(symbol.size());
            for (&address, _) in self
                .names
                .range(start..end)
                .filter(|(address, _)| mine(**address))
            {
                let name = symbol.name().unwrap_or("?");
                found.insert(
                    address,
                    (start, format!("{:#}", rustc_demangle::demangle(name))),
                );
            }
        }
        Ok(found
            .into_iter()
            .map(|(address, (_, name))| (address, name))
            .collect())
    }

    /// How far the file's addresses are from where it was loaded.
    fn bias<'d>(&self, file: &impl object::Object<'d>, path: &str) -> Option<u64> {
        let mapping = self.mappings.iter().find(|mapping| mapping.path == path)?;
        let segment = file.segments().find(|segment| {
            let executable = matches!(segment.flags(), SegmentFlags::Elf { p_flags } if p_flags & object::elf::PF_X != 0);
            // The kernel maps whole pages: the mapping may begin before the segment does.
            executable && mapping.offset < segment.file_range().0 + segment.file_range().1
        })?;
        let load = mapping
            .start
            .wrapping_sub(mapping.offset)
            .wrapping_add(segment.file_range().0);
        Some(load.wrapping_sub(segment.address()))
    }
}

fn find(mappings: &[Mapping], address: u64) -> Option<&Mapping> {
    mappings
        .iter()
        .find(|mapping| (mapping.start..mapping.end).contains(&address))
}

/// The executable pages of this process.
fn mappings() -> Vec<Mapping> {
    std::fs::read_to_string("/proc/self/maps")
        .unwrap_or_default()
        .lines()
        .filter_map(parse)
        .collect()
}

/// One line of `/proc/self/maps`: `start-end perms offset dev inode path`.
fn parse(line: &str) -> Option<Mapping> {
    let mut fields = line.split_ascii_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    let executable = fields.next()?.contains('x');
    let offset = fields.next()?;
    let path = fields.nth(2).unwrap_or("?");
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    executable.then_some(())?;
    Some(Mapping {
        start: hex(start)?,
        end: hex(end)?,
        offset: hex(offset)?,
        path: path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_map_is_read() {
        let line = "55d0c8a00000-55d0c8b00000 r-xp 0002a000 fe:01 1234 /bin/orders";
        let mapping = parse(line).expect("it is well formed");
        assert_eq!(
            (mapping.start, mapping.offset, mapping.path.as_str()),
            (0x55d0_c8a0_0000, 0x2a000, "/bin/orders")
        );
        assert_eq!(
            parse("55d0c8a00000-55d0c8b00000 rw-p 0 fe:01 1234 /bin/orders"),
            None
        );
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn functions_of_this_executable_are_named() {
        let address = functions_of_this_executable_are_named as *const () as u64;
        let symbols = Symbols::of([address].into_iter());
        let name = symbols.name(address).expect("it is code");
        assert!(
            name.contains("functions_of_this_executable_are_named"),
            "{name}"
        );
        assert_eq!(symbols.name(1), None);
    }
}
