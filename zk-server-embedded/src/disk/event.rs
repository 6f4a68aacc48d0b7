//! What storage reports, as the machine is told.

use std::time::Duration;

use zk_server_core::{
    input::Input,
    member::MemberInput,
    storage::{disk::DiskError, store::Event},
};

/// One thing storage reports.
#[derive(Debug)]
pub(crate) enum StorageEvent {
    /// Something is done.
    Done(Event),
    /// Transactions were written and synced in this time.
    Flushed(Duration),
    /// The disk failed. Nothing more will be done or reported.
    Failed(DiskError),
}

impl StorageEvent {
    /// What the machine is told.
    pub(crate) fn into_input(self) -> Input<'static> {
        match self {
            Self::Done(Event::Synced { zxid }) => Input::Synced { zxid },
            Self::Done(Event::SnapshotPartTaken) => Input::SnapshotPartTaken,
            Self::Done(Event::SnapshotDone { is_good }) => Input::SnapshotDone { is_good },
            Self::Done(Event::EpochSaved(file)) => Input::Member(MemberInput::EpochSaved(file)),
            Self::Done(Event::Truncated(recovered)) => {
                Input::Member(MemberInput::Truncated(recovered))
            }
            Self::Done(Event::CannotTruncate) => Input::Member(MemberInput::CannotTruncate),
            Self::Done(Event::LogRead { link, proposals }) => {
                Input::Member(MemberInput::LogRead { link, proposals })
            }
            Self::Flushed(took) => Input::Flushed { took },
            Self::Failed(error) => {
                tracing::error!(%error, "storage failed");
                Input::StorageFailed
            }
        }
    }
}
