//! `mesh reset`: deletes what the mesh of this folder has stored.

use crate::{error::Error, folder::Folder, terminal};

pub(crate) fn reset() -> Result<(), Error> {
    let folder = Folder::here();
    let path = folder.path().display();
    terminal::answer(&match folder.delete()? {
        Some(names) => format!("deleted {path}: {}", names.join(", ")),
        None => format!("nothing to delete: there is no {path} here"),
    });
    Ok(())
}
