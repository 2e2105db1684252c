//! `mesh scale orders=2`: asks the mesh that runs in this folder for more replicas, or fewer.

use crate::{
    cli::{ReplicaCount, ScaleArgs},
    control::{self, Answer, Request},
    error::Error,
    folder::Folder,
    terminal,
};

pub(crate) async fn scale(args: ScaleArgs) -> Result<(), Error> {
    let socket = Folder::here().control_socket();
    for ReplicaCount { process, count } in args.counts {
        let request = Request::Scale {
            process,
            replicas: count,
        };
        match control::ask(&socket, &request).await? {
            Answer::Done(text) => terminal::answer(&text),
            Answer::Refused(text) => return Err(Error::Refused(text)),
        }
    }
    Ok(())
}
