//! `.mesh`: where the state of this folder's mesh lives, who owns it, and what the running mesh tells others.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process,
};

use serde::{Deserialize, Serialize};

use crate::error::Error;

const MESH_FILE: &str = "mesh.json";

/// Belongs to whoever holds the lock in it.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// Held as long as the mesh runs. The system lets go of it however the holder ends, so none is ever stale.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Folder {
    /// That of the working directory.
    pub(crate) fn here() -> Self {
        Self {
            path: PathBuf::from(".mesh"),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn control_socket(&self) -> PathBuf {
        self.path.join("control.sock")
    }

    pub(crate) fn mesh_file(&self) -> MeshFile {
        MeshFile::in_folder(&self.path)
    }

    /// Makes the folder if need be and takes it for a new mesh.
    pub(crate) fn lock(&self) -> Result<Lock, Error> {
        let failed = |source| Error::io(format!("use {}", self.path.display()), source);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(failed)?;
        let mut file = self.open_lock(true).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::AlreadyRuns { pid: pid_in(file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", process::id()))
            .map_err(failed)?;
        Ok(Lock { _file: file })
    }

    /// Deletes all of it, unless a mesh runs here; says what was in it, if it was there at all.
    pub(crate) fn delete(&self) -> Result<Option<Vec<String>>, Error> {
        let failed = |source| Error::io(format!("delete {}", self.path.display()), source);
        // Held until the folder is gone, so that no mesh starts meanwhile.
        let lock = match self.open_lock(false) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        if let Some(file) = lock.as_ref() {
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::StillRuns {
                        pid: lock.and_then(pid_in),
                    });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        match self
            .names()
            .and_then(|names| fs::remove_dir_all(&self.path).map(|()| names))
        {
            Ok(names) => Ok(Some(names)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Takes away what the running mesh told others.
    pub(crate) fn stop_publishing(&self) -> Result<(), Error> {
        for path in [self.path.join(MESH_FILE), self.control_socket()] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::io(format!("delete {}", path.display()), error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn open_lock(&self, create: bool) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .mode(0o600)
            .open(self.path.join("lock"))
    }
}

/// Who holds the lock, as the holder wrote it.
fn pid_in(mut file: File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// One process, for those who want to find it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grpc: Option<SocketAddr>,
    pub(crate) admin: SocketAddr,
}

/// `mesh.json`: all that other commands need to know about the running mesh.
#[derive(Clone, Debug)]
pub(crate) struct MeshFile {
    path: PathBuf,
}

impl MeshFile {
    pub(crate) fn in_folder(path: &Path) -> Self {
        Self {
            path: path.join(MESH_FILE),
        }
    }

    /// Readers see the old list or the new one, never a part.
    pub(crate) fn write(&self, entries: &[Entry]) -> io::Result<()> {
        let draft = self.path.with_extension("json.new");
        // One that is left from a mesh that was killed may have another mode.
        let _absent = fs::remove_file(&draft);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        let text = serde_json::to_string_pretty(entries)? + "\n";
        file.write_all(text.as_bytes())?;
        fs::rename(&draft, &self.path)
    }

    /// The list as it is now; none where nothing is published.
    pub(crate) fn read(&self) -> io::Result<Option<Vec<Entry>>> {
        match fs::read(&self.path) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn folder(parent: &tempfile::TempDir) -> Folder {
        Folder {
            path: parent.path().join(".mesh"),
        }
    }

    fn entry(pid: u32) -> Entry {
        Entry {
            name: "gateway".to_owned(),
            pid,
            http: Some(([127, 0, 0, 1], 8080).into()),
            grpc: None,
            admin: ([127, 0, 0, 1], 9461).into(),
        }
    }

    #[test]
    fn a_second_lock_is_refused_with_the_first_ones_pid_until_that_is_gone() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        let first = folder.lock().unwrap();
        let refused = folder.lock().unwrap_err();
        assert!(matches!(refused, Error::AlreadyRuns { pid: Some(pid) } if pid == process::id()));
        assert!(matches!(
            folder.delete(),
            Err(Error::StillRuns { pid: Some(_) })
        ));
        drop(first);
        folder.lock().unwrap();
    }

    #[test]
    fn deleting_says_what_there_was() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        assert_eq!(folder.delete().unwrap(), None);
        drop(folder.lock().unwrap());
        fs::write(folder.path().join("orders.db"), "").unwrap();
        assert_eq!(folder.delete().unwrap().unwrap(), ["lock", "orders.db"]);
        assert!(!folder.path().exists());
    }

    #[test]
    fn the_file_is_ours_alone_and_has_no_absent_addresses() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        let _lock = folder.lock().unwrap();
        let file = folder.mesh_file();
        file.write(&[entry(1)]).unwrap();
        file.write(&[entry(2)]).unwrap();
        assert_eq!(
            fs::metadata(&file.path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let written: serde_json::Value =
            serde_json::from_slice(&fs::read(&file.path).unwrap()).unwrap();
        let expected = serde_json::json!([{"name": "gateway", "pid": 2, "http": "127.0.0.1:8080", "admin": "127.0.0.1:9461"}]);
        assert_eq!(written, expected);
        assert_eq!(file.read().unwrap(), Some(vec![entry(2)]));
        folder.stop_publishing().unwrap();
        assert!(!file.path.exists());
        assert_eq!(file.read().unwrap(), None);
    }
}
