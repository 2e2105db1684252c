//! What was built: shown by `--version`, `/version`, `build_info` and every span's resource.

/// The version of the workspace.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The git revision, if whoever built this named it in `GIT_SHA`.
pub(crate) const REVISION: &str = match option_env!("GIT_SHA") {
    Some(revision) => revision,
    None => "unknown",
};
