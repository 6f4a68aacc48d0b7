//! One connection's bytes, cut into what they mean: a handshake or a four-letter question first,
//! requests ever after.
//!
//! The shell keeps received bytes in a buffer of its own and offers them here; what comes back
//! borrows from that buffer, so a request is decoded where it arrived. Nothing is reserved for
//! bytes that were only announced.
//
// Invariant: after an error, and after a question, nothing is ever decoded again.

use zk_proto::{
    client::ConnectRequest,
    frame,
    jute::{self, DecodeError},
};

use super::FourLetter;

/// Decodes one connection. Holds no bytes.
#[derive(Clone, Copy, Debug)]
pub struct ClientConn {
    frame_bytes_max: usize,
    stmk_allowed: bool,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Nothing complete has come yet.
    Fresh,
    /// The connect request has come; requests follow.
    Talking,
    /// A question was asked or a rule was broken; the rest is ignored.
    Over,
}

/// What a connection said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decoded<'a> {
    /// The first frame: opens or takes up a session.
    Connect(ConnectRequest<'a>),
    /// A question in place of a handshake. The connection ends after the answer.
    FourLetter(FourLetter),
    /// A request: header and body, without the length; at least as long as a header.
    Request(&'a [u8]),
}

/// Why a connection's bytes are of no further use. The connection is closed without an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The announced length is negative or above the limit, or the bytes are another protocol's.
    #[error(transparent)]
    Length(#[from] frame::FrameError),
    /// A request too short for its own header.
    #[error("request of {length} bytes, a header alone is {REQUEST_BYTES_MIN}")]
    TooShort {
        /// Bytes of the frame.
        length: usize,
    },
    /// The first frame is no connect request.
    #[error("connect request: {0}")]
    NotConnect(#[from] DecodeError),
    /// A telnet client sent its interrupt sequence: the operator wants to leave.
    #[error("telnet interrupt")]
    Telnet,
}

/// Bytes of the largest connect request accepted. A legal one has 45; the generous rest is for
/// passwords of any length, which are refused by the session they claim. It bounds what connections
/// that have not shown themselves to be clients may hold.
// reliability.md M3, M6
pub const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a request header.
const REQUEST_BYTES_MIN: usize = 8;

/// What telnet sends for ctrl-C: interrupt process, then a timing mark.
// ZooKeeper: FourLetterCommands.telnetCloseCmd
const TELNET_INTERRUPT: [u8; 4] = [0xff, 0xf4, 0xff, 0xfd];

impl ClientConn {
    /// A connection that has said nothing yet. Frames above `frame_bytes_max` bytes end it;
    /// `stmk_allowed` says whether the word `stmk` is answered, and so whether to wait for its
    /// number.
    pub const fn new(frame_bytes_max: usize, stmk_allowed: bool) -> Self {
        Self { frame_bytes_max, stmk_allowed, stage: Stage::Fresh }
    }

    /// Decodes what stands at the front of `bytes` and says how many bytes that took; `None` while
    /// it is not all there. Call again with the rest until `None`.
    ///
    /// # Errors
    /// [`FrameError`] when the connection is to be closed.
    pub fn decode<'a>(
        &mut self,
        bytes: &'a [u8],
    ) -> Result<Option<(Decoded<'a>, usize)>, FrameError> {
        let decoded = match self.stage {
            Stage::Fresh => self.first(bytes),
            Stage::Talking => self.request(bytes),
            Stage::Over => return Ok(None),
        };
        match decoded {
            Ok(Some((Decoded::Connect(_) | Decoded::Request(_), _))) => {
                self.stage = Stage::Talking;
            }
            Ok(Some((Decoded::FourLetter(_), _))) | Err(_) => self.stage = Stage::Over,
            Ok(None) => {}
        }
        decoded
    }

    /// The length of the request whose beginning stands at the front of `bytes`, as its client
    /// announced it; for a request that [`Self::decode`] found incomplete.
    pub fn announced(&self, bytes: &[u8]) -> Option<usize> {
        let (length, _) = bytes.split_first_chunk::<4>()?;
        let length = usize::try_from(i32::from_be_bytes(*length)).ok()?;
        (self.stage == Stage::Talking).then_some(length)
    }

    /// Whether the handshake, or a question in its place, is still to come.
    pub const fn is_fresh(&self) -> bool {
        matches!(self.stage, Stage::Fresh)
    }

    fn first<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Decoded<'a>, usize)>, FrameError> {
        let Some((word, rest)) = bytes.split_first_chunk::<4>() else {
            return Ok(None);
        };
        if *word == TELNET_INTERRUPT {
            return Err(FrameError::Telnet);
        }
        if let Some(question) = FourLetter::new(word) {
            return Ok(self.question(question, rest));
        }
        let limit = self.frame_bytes_max.min(HANDSHAKE_BYTES_MAX);
        let Some(split) = frame::split_frame(bytes, limit)? else {
            return Ok(None);
        };
        let request = jute::decode::<ConnectRequest<'_>>(split.body)?;
        Ok(Some((Decoded::Connect(request), bytes.len() - split.rest.len())))
    }

    /// A word takes what came behind it along: no question has a second one.
    fn question<'a>(&self, question: FourLetter, rest: &[u8]) -> Option<(Decoded<'a>, usize)> {
        let taken = 4 + rest.len();
        if !matches!(question, FourLetter::Stmk(_)) || !self.stmk_allowed {
            return Some((Decoded::FourLetter(question), taken));
        }
        let (mask, _) = rest.split_first_chunk::<8>()?;
        Some((Decoded::FourLetter(FourLetter::Stmk(i64::from_be_bytes(*mask))), taken))
    }

    fn request<'a>(&self, bytes: &'a [u8]) -> Result<Option<(Decoded<'a>, usize)>, FrameError> {
        let Some(split) = frame::split_frame(bytes, self.frame_bytes_max)? else {
            return Ok(None);
        };
        let length = split.body.len();
        if length < REQUEST_BYTES_MIN {
            return Err(FrameError::TooShort { length });
        }
        Ok(Some((Decoded::Request(split.body), bytes.len() - split.rest.len())))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use zk_proto::{SessionId, Zxid, jute::Writer};

    use super::*;

    fn fresh() -> ClientConn {
        ClientConn::new(1_000, true)
    }

    fn connect_frame(password: &[u8]) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.frame(|writer| jute::Encode::encode(&request(password), writer));
        writer.into_vec()
    }

    fn request(password: &[u8]) -> ConnectRequest<'_> {
        ConnectRequest {
            protocol_version: 0,
            last_zxid_seen: Zxid::ZERO,
            timeout_ms: 30_000,
            session: SessionId::NONE,
            password: Some(password),
            read_only: Some(false),
        }
    }

    fn talking() -> ClientConn {
        let mut conn = fresh();
        let frame = connect_frame(&[0; 16]);
        assert!(matches!(conn.decode(&frame), Ok(Some((Decoded::Connect(_), 49)))));
        conn
    }

    #[test]
    fn a_handshake_may_arrive_byte_by_byte() {
        let frame = connect_frame(&[0; 16]);
        let mut conn = fresh();
        for end in 0..frame.len() {
            assert_eq!(conn.decode(&frame[..end]), Ok(None), "{end} bytes");
        }
        let decoded = conn.decode(&frame).expect("legal").expect("complete");
        assert_eq!(decoded, (Decoded::Connect(request(&[0; 16])), 49));
        assert!(!conn.is_fresh());
    }

    #[test]
    fn a_word_may_arrive_in_pieces_and_swallows_what_follows() {
        for word in FourLetter::ALL.iter().filter(|word| !matches!(word, FourLetter::Stmk(_))) {
            let mut conn = fresh();
            let letters = word.word();
            for end in 0..4 {
                assert_eq!(conn.decode(&letters[..end]), Ok(None));
            }
            let mut line = letters.to_vec();
            line.extend_from_slice(b"\r\nrest");
            assert_eq!(conn.decode(&line), Ok(Some((Decoded::FourLetter(*word), 10))));
            assert_eq!(conn.decode(b"ruok"), Ok(None), "one question per connection");
        }
    }

    #[test]
    fn stmk_waits_for_its_number_only_where_it_is_answered() {
        let mut bytes = b"stmk".to_vec();
        bytes.extend_from_slice(&0x1234_i64.to_be_bytes());
        let mut conn = fresh();
        assert_eq!(conn.decode(&bytes[..11]), Ok(None));
        let stmk = Decoded::FourLetter(FourLetter::Stmk(0x1234));
        assert_eq!(conn.decode(&bytes), Ok(Some((stmk, 12))));

        let mut refused = ClientConn::new(1_000, false);
        let stmk = Decoded::FourLetter(FourLetter::Stmk(0));
        assert_eq!(refused.decode(b"stmk"), Ok(Some((stmk, 4))));
    }

    #[test]
    fn telnets_interrupt_ends_the_connection() {
        assert_eq!(fresh().decode(&[0xff, 0xf4, 0xff, 0xfd, 6]), Err(FrameError::Telnet));
    }

    #[test]
    fn m1_m2_a_length_below_zero_or_above_the_limit_is_refused_at_once() {
        for length in [-1_i32, i32::MIN, 1_001, i32::MAX] {
            let bytes = length.to_be_bytes();
            assert!(matches!(fresh().decode(&bytes), Err(FrameError::Length(_))), "{length}");
            assert!(matches!(talking().decode(&bytes), Err(FrameError::Length(_))), "{length}");
        }
    }

    #[test]
    fn m1_a_frame_without_room_for_its_header_is_refused() {
        assert!(matches!(fresh().decode(&[0; 4]), Err(FrameError::NotConnect(_))));
        for length in 0..8_u8 {
            let mut bytes = [0, 0, 0, length].to_vec();
            bytes.resize(4 + usize::from(length), 0);
            let error = FrameError::TooShort { length: usize::from(length) };
            assert_eq!(talking().decode(&bytes), Err(error));
        }
    }

    #[test]
    fn m3_an_announced_frame_is_waited_for_and_reserves_nothing() {
        let mut conn = talking();
        let bytes = [0, 0, 3, 0xe8, 1, 2, 3];
        assert_eq!(conn.decode(&bytes), Ok(None));
        assert_eq!((conn.announced(&bytes), conn.announced(&bytes[..3])), (Some(1_000), None));
        assert_eq!(fresh().announced(&bytes), None, "it is no request yet");
    }

    #[test]
    fn m3_a_handshake_is_bounded_more_tightly_than_a_request() {
        let mut conn = ClientConn::new(1 << 20, true);
        let length = i32::try_from(HANDSHAKE_BYTES_MAX + 1).expect("small");
        assert!(matches!(conn.decode(&length.to_be_bytes()), Err(FrameError::Length(_))));
    }

    #[test]
    fn m5_foreign_protocols_are_refused_by_their_first_bytes() {
        for greeting in [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-x", &[0x16, 3, 1, 2, 0, 1, 0]] {
            assert!(matches!(fresh().decode(greeting), Err(FrameError::Length(_))));
        }
    }

    #[test]
    fn m54_what_is_said_about_foreign_bytes_holds_none_of_them() {
        let greetings = [
            &b"\x1b[2J\r\nINFO all is well\r\n"[..],
            b"\0\0\0\x04\x1b[2J",
            b"\0\0\0\x09abc\n\x1b[2Jd",
        ];
        for greeting in greetings {
            let error = fresh().decode(greeting).expect_err("no client");
            let said = alloc::format!("{error} {error:?}");
            assert!(!said.contains("[2J") && !said.contains("all is well"), "{said}");
            assert!(!said.chars().any(char::is_control), "{said:?}");
        }
    }

    #[test]
    fn m6_a_password_of_any_length_is_a_legal_handshake() {
        for length in [0, 1, 15, 17, 500] {
            let frame = connect_frame(&[7; 500][..length]);
            assert!(matches!(fresh().decode(&frame), Ok(Some((Decoded::Connect(_), _)))));
        }
    }

    #[test]
    fn words_are_not_recognised_after_the_handshake() {
        assert!(matches!(talking().decode(b"ruok"), Err(FrameError::Length(_))));
    }

    #[test]
    fn requests_are_cut_one_by_one() {
        let mut conn = talking();
        let bytes = [0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 11, 0, 0];
        let decoded = conn.decode(&bytes).expect("legal").expect("complete");
        assert_eq!(decoded, (Decoded::Request(&bytes[4..12]), 12));
        assert_eq!(conn.decode(&bytes[12..]), Ok(None));
    }
}
