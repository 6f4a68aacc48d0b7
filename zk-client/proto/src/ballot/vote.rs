//! A notification: what one member thinks who should lead.

use crate::{
    id::{Epoch, ServerId, Zxid},
    jute::{Decode, DecodeError, Encode, Expected, Reader, Writer},
};

/// What a member is doing.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum MemberState {
    /// Looking for a leader.
    Looking = 0,
    /// Following one, as a participant.
    Following = 1,
    /// Leading.
    Leading = 2,
    /// Following a leader, as an observer.
    Observing = 3,
}

impl MemberState {
    /// The state's number.
    pub const fn get(self) -> i32 {
        self as i32
    }

    /// The state behind a number, if there is one.
    pub const fn new(code: i32) -> Option<Self> {
        match code {
            0 => Some(Self::Looking),
            1 => Some(Self::Following),
            2 => Some(Self::Leading),
            3 => Some(Self::Observing),
            _ => None,
        }
    }
}

/// Counts the elections a member took part in (`electionEpoch`, the logical clock). Says nothing
/// about transactions.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Round(i64);

impl Round {
    /// Of a vote that no election made: the leader was appointed by a reconfiguration.
    pub const APPOINTED: Self = Self(-1);

    /// Takes the number as it stands on the wire.
    pub const fn new(raw: i64) -> Self {
        Self(raw)
    }

    /// The wire form.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The round after this one.
    #[must_use]
    pub const fn following(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The epoch a candidate followed last (`peerEpoch`), or [`PeerEpoch::NONE`] where there is no
/// candidate. Compared with its sign, as Java members do.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PeerEpoch(i64);

impl PeerEpoch {
    /// What a member says that is no candidate and has seen none.
    pub const NONE: Self = Self(i64::MIN);

    /// Takes the number as it stands on the wire.
    pub const fn new(raw: i64) -> Self {
        Self(raw)
    }

    /// The wire form.
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl From<Epoch> for PeerEpoch {
    fn from(epoch: Epoch) -> Self {
        Self(epoch.get().into())
    }
}

/// What a notification holds beyond the vote.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotificationForm<'a> {
    /// 28 bytes, without the candidate's epoch: members before 3.4.
    WithoutEpoch,
    /// 40 bytes, with the candidate's epoch and a version that nobody looks at: members of 3.4.
    WithoutConfig {
        /// The four bytes at the end.
        version: i32,
    },
    /// With the configuration the sender takes for committed: members from 3.5 on.
    WithConfig {
        /// [`Notification::VERSION`] or higher.
        version: i32,
        /// The text of an [`crate::ensemble::EnsembleConfig`].
        config: &'a [u8],
    },
}

/// One message of the election port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Notification<'a> {
    /// What the sender is doing.
    pub state: MemberState,
    /// Whom it proposes, or whom it follows.
    pub leader: ServerId,
    /// The candidate's last transaction.
    pub zxid: Zxid,
    /// The election it is about.
    pub round: Round,
    /// The epoch the candidate followed last; taken from the zxid where the sender is too old to
    /// say.
    pub epoch: PeerEpoch,
    /// In which form it came, and the configuration in it.
    pub form: NotificationForm<'a>,
}

impl<'a> Notification<'a> {
    /// The version a member of today writes.
    // ZooKeeper: FastLeaderElection.Notification.CURRENTVERSION
    pub const VERSION: i32 = 2;

    /// The configuration's text, where there is one and it is text.
    pub fn config(&self) -> Option<&'a str> {
        match self.form {
            NotificationForm::WithConfig { config, .. } => core::str::from_utf8(config).ok(),
            NotificationForm::WithoutEpoch | NotificationForm::WithoutConfig { .. } => None,
        }
    }

    /// Whether the sender is old enough to report epochs that change while it follows one leader.
    // ZooKeeper: Vote.equals, ZOOKEEPER-1732
    pub const fn is_legacy(&self) -> bool {
        !matches!(self.form, NotificationForm::WithConfig { .. })
    }
}

impl<'de: 'a, 'a> Decode<'de> for Notification<'a> {
    /// The reader must hold one frame: its length tells the forms apart.
    // ZooKeeper: FastLeaderElection.Messenger.WorkerReceiver.run
    fn decode(reader: &mut Reader<'de>) -> Result<Self, DecodeError> {
        let length = reader.rest().len();
        let code = reader.i32()?;
        let state = MemberState::new(code).ok_or_else(|| DecodeError {
            offset: 0,
            expected: Expected::OneOf("member state"),
            got: code.into(),
        })?;
        let leader = ServerId::new(reader.i64()?);
        let zxid = Zxid::decode(reader)?;
        let round = Round::new(reader.i64()?);
        if length == 28 {
            let epoch = PeerEpoch(zxid.get() >> 32);
            let form = NotificationForm::WithoutEpoch;
            return Ok(Self { state, leader, zxid, round, epoch, form });
        }
        let epoch = PeerEpoch::new(reader.i64()?);
        let form = match (length, reader.i32()?) {
            (40, version) | (_, version @ ..=1) => NotificationForm::WithoutConfig { version },
            (_, version) => {
                let config = reader.buffer()?.ok_or_else(|| reader.error(Expected::NonNull, 0))?;
                NotificationForm::WithConfig { version, config }
            }
        };
        Ok(Self { state, leader, zxid, round, epoch, form })
    }
}

impl Encode for Notification<'_> {
    fn encode(&self, writer: &mut Writer) {
        writer.i32(self.state.get());
        writer.i64(self.leader.get());
        self.zxid.encode(writer);
        writer.i64(self.round.get());
        match self.form {
            NotificationForm::WithoutEpoch => {}
            NotificationForm::WithoutConfig { version } => {
                writer.i64(self.epoch.get());
                writer.i32(version);
            }
            NotificationForm::WithConfig { version, config } => {
                writer.i64(self.epoch.get());
                writer.i32(version);
                writer.buffer(Some(config));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::{decode, encode};

    const VOTE: Notification<'_> = Notification {
        state: MemberState::Looking,
        leader: ServerId::new(3),
        zxid: Zxid::new(0x5_0000_0007),
        round: Round::new(9),
        epoch: PeerEpoch::new(5),
        form: NotificationForm::WithConfig { version: 2, config: b"version=0" },
    };

    #[test]
    fn every_form_survives_reading_and_writing() {
        let old = Notification { form: NotificationForm::WithoutConfig { version: 1 }, ..VOTE };
        let oldest = Notification { form: NotificationForm::WithoutEpoch, ..VOTE };
        for (notification, length) in [(VOTE, 53), (old, 40), (oldest, 28)] {
            let bytes = encode(&notification);
            assert_eq!(bytes.len(), length);
            assert_eq!(decode::<Notification<'_>>(&bytes), Ok(notification));
        }
        assert_eq!(VOTE.config(), Some("version=0"));
        assert!(old.is_legacy() && oldest.is_legacy() && !VOTE.is_legacy());
    }

    #[test]
    fn nothing_between_the_forms_is_read() {
        let bytes = encode(&VOTE);
        for length in (0..bytes.len()).filter(|length| ![28, 40].contains(length)) {
            assert!(decode::<Notification<'_>>(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn an_unknown_state_and_a_lying_length_are_refused() {
        let mut bytes = encode(&VOTE);
        bytes[3] = 4;
        assert!(decode::<Notification<'_>>(&bytes).is_err());
        let mut bytes = encode(&VOTE);
        for length in [-1_i32, i32::MIN, 10, i32::MAX] {
            bytes.splice(40..44, length.to_be_bytes());
            assert!(decode::<Notification<'_>>(&bytes).is_err(), "{length}");
        }
    }

    #[test]
    fn a_config_that_is_no_text_is_no_config() {
        let form = NotificationForm::WithConfig { version: 2, config: &[0xff] };
        assert_eq!(Notification { form, ..VOTE }.config(), None);
    }
}
