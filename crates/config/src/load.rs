//! Reads a whole process's settings, and refuses names that nothing reads.

use crate::{ConfigErrors, Problem, Reader, Settings, Source, VARIABLES};

/// All our own variables start with this; what starts with it and is not ours is a mistake.
const PREFIX: &str = "MESH_";

/// The settings of one component, read beside the code that uses them.
pub trait Section: Sized {
    /// Asks the reader for every value. Never fails: the reader remembers what was wrong.
    fn read(reader: &mut Reader<'_>) -> Self;
}

/// A component without settings.
impl Section for () {
    fn read(_: &mut Reader<'_>) -> Self {}
}

/// Settings without a problem.
#[derive(Debug, Clone)]
pub struct Loaded<C> {
    /// For the components.
    pub config: C,
    /// For people: `--check-config` and `GET /config`.
    pub settings: Settings,
}

/// Reads `C`, or says everything that is wrong, `MESH_` names that no process of the mesh has included.
pub fn load<C: Section>(source: &dyn Source) -> Result<Loaded<C>, ConfigErrors> {
    let mut reader = Reader::new(source);
    let config = C::read(&mut reader);
    let (settings, mut problems) = reader.finish();
    problems.extend(source.names().into_iter().filter_map(unknown));
    if problems.is_empty() {
        Ok(Loaded { config, settings })
    } else {
        Err(ConfigErrors { problems })
    }
}

/// A problem if `name` claims to be ours and is not. Its value is not shown: a misspelt name may hold a secret.
fn unknown(name: String) -> Option<Problem> {
    if !name.starts_with(PREFIX) || VARIABLES.iter().any(|variable| variable.name == name) {
        return None;
    }
    let reason = match nearest(&name) {
        Some(known) => format!("no such setting; did you mean {known}?"),
        None => "no such setting".to_owned(),
    };
    Some(Problem {
        name,
        value: None,
        reason,
    })
}

/// The known name that takes the fewest edits, if they are few.
fn nearest(name: &str) -> Option<&'static str> {
    let most = (name.len() - PREFIX.len()) / 3;
    VARIABLES
        .iter()
        .map(|variable| (edits(name, variable.name), variable.name))
        .filter(|(edits, _)| *edits <= most)
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein's distance: characters to insert, delete or replace.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replace = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

    use super::*;

    #[derive(Debug)]
    struct Example {
        listen: SocketAddr,
        timeout: Duration,
    }

    impl Section for Example {
        fn read(reader: &mut Reader<'_>) -> Self {
            Self {
                listen: reader.addr("MESH_LISTEN_ADDR", SocketAddr::from(([0, 0, 0, 0], 8080))),
                timeout: reader.duration("MESH_REQUEST_TIMEOUT", Duration::from_secs(5)),
            }
        }
    }

    fn source(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn defaults_stand_where_nothing_is_set() {
        let loaded = load::<Example>(&source(&[("PATH", "/bin")])).unwrap();
        assert_eq!(loaded.config.listen.port(), 8080);
        assert_eq!(loaded.config.timeout, Duration::from_secs(5));
        let shown: Vec<_> = loaded.settings.iter().collect();
        assert_eq!(
            shown,
            [
                ("MESH_LISTEN_ADDR", "0.0.0.0:8080"),
                ("MESH_REQUEST_TIMEOUT", "5s")
            ]
        );
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let errors = load::<Example>(&source(&[
            ("MESH_LISTEN_ADDR", "localhost:8080"),
            ("MESH_REQUEST_TIMEOUT", "5"),
            ("MESH_REQEST_TIMEOUT", "5s"),
            ("MESH_STORE_ULR", "postgres://shop:hunter2@db"),
            ("MESH_GREETING", "hello"),
        ]))
        .unwrap_err();
        let lines: Vec<String> = errors.to_string().lines().map(ToOwned::to_owned).collect();
        assert_eq!(
            lines,
            [
                "MESH_LISTEN_ADDR=\"localhost:8080\": must be an IP address and a port, such as 0.0.0.0:8080 or [::1]:8080",
                "MESH_REQUEST_TIMEOUT=\"5\": must be a number with a unit (us, ms, s, m, h), such as 250ms or 1.5s",
                "MESH_GREETING: no such setting",
                "MESH_REQEST_TIMEOUT: no such setting; did you mean MESH_REQUEST_TIMEOUT?",
                "MESH_STORE_ULR: no such setting; did you mean MESH_STORE_URL?",
            ]
        );
    }

    #[test]
    fn a_setting_of_another_process_is_not_unknown() {
        assert!(
            load::<Example>(&source(&[
                ("MESH_SEED_STOCK", "5"),
                ("MESH_PREFETCH", "10")
            ]))
            .is_ok()
        );
    }

    #[test]
    fn edits_are_counted() {
        for (from, to, expected) in [
            ("", "", 0),
            ("abc", "abc", 0),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(edits(from, to), expected, "{from} {to}");
        }
    }
}
