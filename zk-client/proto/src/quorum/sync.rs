//! What the synchronisation of a learner adds to its packets: the snapshot's stream.

/// What follows the snapshot in the stream behind SNAP, as a string with its length in front: the
/// learner's proof that it was whole.
// ZooKeeper: LearnerHandler.run, Learner.syncWithLeader
pub const SNAPSHOT_SIGNATURE: &str = "BenWasHere";
