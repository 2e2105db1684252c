//! The mesh that runs in this folder, as `.mesh/mesh.json` tells of it: all that other commands go by.

use std::net::SocketAddr;

use rustix::process::{Pid, test_kill_process};

use crate::{
    error::Error,
    folder::{Entry, Folder, MeshFile},
    ports::{self, Addresses, MAX_OFFSET},
    process::Process,
};

/// Where its processes were a moment ago.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    entries: Vec<Entry>,
    port_offset: u16,
}

impl Running {
    /// That of the working directory.
    pub(crate) fn here() -> Result<Self, Error> {
        Self::read(&Folder::here().mesh_file(), is_alive)
    }

    fn read(file: &MeshFile, is_alive: impl Fn(u32) -> bool) -> Result<Self, Error> {
        let entries = file
            .read()
            .map_err(|source| Error::io(format!("read {}", file.path().display()), source))?
            .ok_or(Error::NotRunning)?;
        if entries.is_empty() {
            return Err(Error::Refused(
                "the mesh of this folder has no process left: start one, such as `cargo mesh scale gateway=1`"
                    .to_owned(),
            ));
        }
        // A mesh that was killed leaves its list behind, but no process.
        if !entries.iter().any(|entry| is_alive(entry.pid)) {
            return Err(Error::NotRunning);
        }
        let port_offset = port_offset(&entries).ok_or_else(|| {
            Error::Refused(format!(
                "{} tells of no first replica on its ports: is it of another version of mesh?",
                file.path().display()
            ))
        })?;
        Ok(Self {
            entries,
            port_offset,
        })
    }

    /// Every replica that has a process, in the order in which people read them.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The page for people.
    pub(crate) fn page(&self) -> SocketAddr {
        ports::page(self.port_offset)
    }

    /// The first gateway, or where it will be when there is one again.
    pub(crate) fn gateway(&self) -> SocketAddr {
        let listed = first(&self.entries, Process::Gateway).and_then(|entry| entry.http);
        let known = || Addresses::known(Process::Gateway, self.port_offset).listen;
        listed
            .or_else(known)
            .expect("a gateway serves somebody, so it has a port")
    }
}

fn first(entries: &[Entry], process: Process) -> Option<&Entry> {
    entries.iter().find(|entry| entry.name == process.name())
}

/// By how much the known ports are shifted: any first replica tells, for it keeps its ports.
fn port_offset(entries: &[Entry]) -> Option<u16> {
    let shift = |process: Process| {
        let admin = first(entries, process)?.admin.port();
        admin.checked_sub(process.admin_port())
    };
    let mut shifts = Process::ALL.into_iter().filter_map(shift);
    shifts.find(|offset| *offset <= MAX_OFFSET)
}

fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    // A process of somebody else is none of ours.
    pid.is_some_and(|pid| test_kill_process(pid).is_ok())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    fn entry(name: &str, http: Option<u16>, admin: u16) -> Entry {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Entry {
            name: name.to_owned(),
            pid: std::process::id(),
            http: http.map(loopback),
            grpc: None,
            admin: loopback(admin),
        }
    }

    fn folder(entries: &[Entry]) -> (TempDir, MeshFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = MeshFile::in_folder(folder.path());
        file.write(entries).unwrap();
        (folder, file)
    }

    #[test]
    fn the_page_and_the_gateway_are_found() {
        let entries = [
            entry("gateway", Some(8180), 9561),
            entry("fulfillment", None, 9565),
        ];
        let (_folder, file) = folder(&entries);
        let running = Running::read(&file, is_alive).unwrap();
        assert_eq!(running.entries(), entries);
        assert_eq!(running.gateway().port(), 8180);
        assert_eq!(running.page().port(), 9560);
    }

    #[test]
    fn any_first_replica_tells_how_the_ports_are_shifted() {
        // A second replica has free ports: they tell nothing.
        let entries = [
            entry("gateway-2", Some(40_000), 40_001),
            entry("orders-2", None, 40_002),
            entry("fulfillment", None, 9465),
        ];
        let (_folder, file) = folder(&entries);
        let running = Running::read(&file, is_alive).unwrap();
        assert_eq!(running.gateway().port(), 8080);
        assert_eq!(running.page().port(), 9460);
        let (_folder, file) = folder(&entries[..2]);
        let refused = Running::read(&file, is_alive).unwrap_err().to_string();
        assert!(refused.contains("no first replica"), "{refused}");
    }

    #[test]
    fn where_no_mesh_runs_it_is_said() {
        let (folder, file) = folder(&[entry("gateway", Some(8080), 9461)]);
        let dead = |_pid| false;
        assert!(
            matches!(Running::read(&file, dead), Err(Error::NotRunning)),
            "what a mesh that was killed left behind"
        );
        let elsewhere = MeshFile::in_folder(&folder.path().join("elsewhere"));
        let none = Running::read(&elsewhere, is_alive);
        assert!(matches!(none, Err(Error::NotRunning)));
        // Tests run in the folder of the crate.
        assert!(matches!(Running::here(), Err(Error::NotRunning)));

        file.write(&[]).unwrap();
        let told = Running::read(&file, is_alive).unwrap_err().to_string();
        assert!(told.contains("no process left"), "{told}");
        fs::write(file.path(), "[{").unwrap();
        let told = Running::read(&file, is_alive).unwrap_err().to_string();
        assert!(
            told.contains("cannot read") && told.contains("mesh.json"),
            "{told}"
        );
    }
}
