//! Where the programs are.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use crate::{Error, Kind};

/// Looked at before the path: Debian's `rabbitmq-server` there changes the user and the environment.
const FIRST: [&str; 1] = ["/usr/lib/rabbitmq/bin"];
/// Looked at after the path.
const LAST: [&str; 1] = ["/opt/homebrew/sbin"];
/// Where none is said.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/opt/homebrew/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Debian keeps every version of PostgreSQL apart.
const POSTGRES: &str = "/usr/lib/postgresql";

/// The program of that name.
pub(crate) fn program(
    kind: Kind,
    program: &'static str,
    package: &'static str,
) -> Result<PathBuf, Error> {
    let path = path();
    let folders = FIRST
        .map(PathBuf::from)
        .into_iter()
        .chain(versions(Path::new(POSTGRES)))
        .chain(env::split_paths(&path))
        .chain(LAST.map(PathBuf::from));
    folders
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
        .ok_or(Error::Missing {
            kind,
            program,
            package,
        })
}

/// Where programs are looked for.
pub(crate) fn path() -> OsString {
    env::var_os("PATH").unwrap_or(PATH.into())
}

/// The programs of each version below this folder, the newest first.
fn versions(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_installed_is_an_error_that_names_the_package() {
        let error = program(Kind::Redis, "no-such-server", "redis-server").unwrap_err();
        assert_eq!(
            error.to_string(),
            "redis: no no-such-server here: install it (on Debian: apt-get install redis-server)"
        );
    }

    #[test]
    fn the_newest_version_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        for version in ["9", "15", "common"] {
            fs::create_dir(folder.path().join(version)).unwrap();
        }
        let expected = ["15/bin", "9/bin"].map(|version| folder.path().join(version));
        assert_eq!(versions(folder.path()), expected);
    }
}
