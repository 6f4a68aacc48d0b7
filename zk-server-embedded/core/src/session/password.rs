//! A session's password: derived from its number, so that every server can check it.
//!
//! Not a secret worth the name; it keeps clients from taking up each other's sessions by mistake.

use zk_proto::{SessionId, limits::PASSWORD_BYTES};

/// What the session's number is mixed with before it seeds the generator.
// ZooKeeper: ZooKeeperServer.superSecret
const MIXED_IN: i64 = 0xb341_5c00;

/// Multiplier, addend and width of `java.util.Random`.
const MULTIPLIER: u64 = 0x5_deec_e66d;
const ADDEND: u64 = 0xb;
const MASK: u64 = (1 << 48) - 1;

/// The password of `session`.
// ZooKeeper: ZooKeeperServer.generatePasswd, Random.nextBytes
pub fn password(session: SessionId) -> [u8; PASSWORD_BYTES] {
    let seed = (session.get() ^ MIXED_IN).cast_unsigned();
    let mut state = (seed ^ MULTIPLIER) & MASK;
    let mut bytes = [0; PASSWORD_BYTES];
    for word in bytes.as_chunks_mut::<4>().0 {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(ADDEND) & MASK;
        let [b0, b1, b2, b3, ..] = (state >> 16).to_le_bytes();
        *word = [b0, b1, b2, b3];
    }
    bytes
}

/// Whether `shown` is the password of `session`. Takes the same time wherever they differ.
pub fn is_password(session: SessionId, shown: Option<&[u8]>) -> bool {
    let right = password(session);
    let Some(shown) = shown.filter(|shown| shown.len() == right.len()) else {
        return false;
    };
    let differing = right.iter().zip(shown).fold(0, |sum, (one, other)| sum | (one ^ other));
    session != SessionId::NONE && differing == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_what_java_derives() {
        // Captured from Apache ZooKeeper 3.9.5.
        let golden = [
            (0x0100_0015_fd28_0004, 0x3695_e1bf_afcf_08e6_adb2_35c7_df85_f9f4_u128),
            (0x0100_0015_fd28_0009, 0x963a_c4bf_cf49_653e_7701_3aa0_0132_60f6),
        ];
        for (session, bytes) in golden {
            let session = SessionId::new(session);
            assert_eq!(password(session), bytes.to_be_bytes());
            assert!(is_password(session, Some(&bytes.to_be_bytes())));
        }
    }

    #[test]
    fn m6_wrong_short_long_and_missing_passwords_are_refused() {
        let session = SessionId::new(7);
        let mut wrong = password(session);
        wrong[15] ^= 1;
        assert!(!is_password(session, Some(&wrong)));
        assert!(!is_password(session, Some(&password(session)[..15])));
        assert!(!is_password(session, Some(&[0; 17])));
        assert!(!is_password(session, None));
    }

    #[test]
    fn no_session_has_no_password() {
        assert!(!is_password(SessionId::NONE, Some(&password(SessionId::NONE))));
    }
}
