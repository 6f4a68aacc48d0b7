//! What storage reports, as the machine is told.

use zk_server_core::{
    input::Input,
    storage::{disk::DiskError, store::Event},
};

/// One thing storage reports.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum StorageEvent {
    /// Something is done.
    Done(Event),
    /// The disk failed. Nothing more will be done or reported.
    Failed(DiskError),
}

impl StorageEvent {
    /// What the machine is told.
    pub(crate) const fn input(&self) -> Input<'static> {
        match self {
            Self::Done(Event::Synced { zxid }) => Input::Synced { zxid: *zxid },
            Self::Done(Event::SnapshotPartTaken) => Input::SnapshotPartTaken,
            Self::Done(Event::SnapshotDone { is_good }) => {
                Input::SnapshotDone { is_good: *is_good }
            }
            Self::Failed(_) => Input::StorageFailed,
        }
    }
}
