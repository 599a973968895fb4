//! When a container's process starts.

/// When the process starts, and who of us is still there then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// At once; Pipkin waits for its end, and its death is the container's.
    AtOnce,
    /// When somebody asks for it (OCI runtime-spec, runtime.md, `create` and `start`). Nobody of ours is left beside the
    /// child that waits.
    OnRequest {
        /// Whether the child waits once more, with its root built but the host's still in sight, for programs that are
        /// to see just that.
        hooks: bool,
    },
}
