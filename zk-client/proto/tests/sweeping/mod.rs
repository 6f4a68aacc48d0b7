//! One good message at a time, spoiled in every way. All failures are collected before a check
//! speaks.

/// Lengths that a careless reader trips over.
const LIES: [i32; 12] =
    [i32::MIN, -2, -1, 0, 1, 2, 0xff, 0xffff, 0xf_ffff, 0x10_0000, 0x7fff_fffe, i32::MAX];

/// Decoding must neither panic nor take more memory than this many times the message.
const MEMORY_FACTOR_MAX: usize = 16;

pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    /// Whether it decodes, and roughly how many bytes of memory the value took.
    pub(crate) decode: fn(&[u8]) -> Option<usize>,
    /// Lengths at which a shorter message is a message as well.
    pub(crate) also_complete_at: Vec<usize>,
}

pub(crate) fn truncations(subjects: &[Subject]) {
    let mut failures = Vec::new();
    for subject in subjects {
        assert!((subject.decode)(&subject.bytes).is_some(), "{} does not decode", subject.name);
        for length in 0..subject.bytes.len() {
            let is_complete = subject.also_complete_at.contains(&length);
            let decoded = (subject.decode)(&subject.bytes[..length]).is_some();
            if decoded != is_complete {
                failures.push(format!("{} cut to {length}: decoded = {decoded}", subject.name));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

pub(crate) fn lies(subjects: &[Subject]) {
    let mut failures = Vec::new();
    for subject in subjects {
        for offset in 0..subject.bytes.len().saturating_sub(3) {
            for lie in LIES {
                let mut bytes = subject.bytes.clone();
                bytes[offset..offset + 4].copy_from_slice(&lie.to_be_bytes());
                if let Some(memory) = (subject.decode)(&bytes)
                    && memory > bytes.len() * MEMORY_FACTOR_MAX
                {
                    failures.push(format!("{} at {offset}: {lie} took {memory}", subject.name));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

pub(crate) fn flips(subjects: &[Subject]) {
    for subject in subjects {
        for bit in 0..subject.bytes.len() * 8 {
            let mut bytes = subject.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = (subject.decode)(&bytes);
        }
    }
}

pub(crate) fn inverses(subjects: &[Subject]) {
    for subject in subjects {
        assert_eq!((subject.decode)(&subject.bytes), Some(subject.bytes.len()), "{}", subject.name);
    }
}

macro_rules! subject {
    ($type:ty, $value:expr) => {
        subject!($type, $value, vec![])
    };
    ($type:ty, $value:expr, $also:expr) => {{
        let value: $type = $value;
        Subject {
            name: stringify!($type),
            bytes: zk_proto::jute::encode(&value),
            decode: |bytes| {
                let value = zk_proto::jute::decode::<$type>(bytes).ok()?;
                // What is encoded again is about what was kept.
                Some(zk_proto::jute::encode(&value).len())
            },
            also_complete_at: $also,
        }
    }};
}
pub(crate) use subject;
