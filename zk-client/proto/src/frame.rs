//! Where one message ends and the next begins: four bytes of length, then that many bytes.

/// A length that no legal peer announces.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("frame of {length} bytes announced, at most {frame_bytes_max} are accepted")]
pub struct FrameError {
    /// The announced length.
    pub length: i32,
    /// The limit in force.
    pub frame_bytes_max: usize,
}

/// A message taken off the front of received bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Split<'a> {
    /// The message without its length.
    pub body: &'a [u8],
    /// What follows it.
    pub rest: &'a [u8],
}

/// The first message in `bytes` without its length, and what follows it; `None` while it is not all
/// there.
///
/// The caller's buffer only ever holds bytes that have arrived: an announced length reserves
/// nothing.
///
/// # Errors
/// [`FrameError`] when the announced length is negative or above `frame_bytes_max`. The connection
/// is then of no further use.
// ZooKeeper: NIOServerCnxn.readLength, ClientCnxnSocket.readLength
pub fn split_frame(bytes: &[u8], frame_bytes_max: usize) -> Result<Option<Split<'_>>, FrameError> {
    let Some((prefix, rest)) = bytes.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(*prefix);
    match usize::try_from(length) {
        Ok(count) if count <= frame_bytes_max => {
            Ok(rest.split_at_checked(count).map(|(body, rest)| Split { body, rest }))
        }
        Ok(_) | Err(_) => Err(FrameError { length, frame_bytes_max }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_split_one_by_one() {
        let bytes = [0, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0];
        let first = split_frame(&bytes, 10).expect("legal").expect("complete");
        assert_eq!(first.body, [7]);
        let second = split_frame(first.rest, 10).expect("legal").expect("complete");
        assert_eq!(second.body, []);
        assert_eq!(split_frame(second.rest, 10), Ok(None), "half a length");
    }

    #[test]
    fn an_unfinished_frame_waits() {
        assert_eq!(split_frame(&[0, 0, 0, 2, 1], 10), Ok(None));
    }

    #[test]
    fn a_negative_or_oversize_length_is_refused_before_the_bytes_arrive() {
        for length in [-1_i32, i32::MIN, 11, i32::MAX] {
            let error = split_frame(&length.to_be_bytes(), 10).expect_err("illegal");
            assert_eq!(error, FrameError { length, frame_bytes_max: 10 });
        }
        assert_eq!(split_frame(&10_i32.to_be_bytes(), 10), Ok(None));
    }
}
