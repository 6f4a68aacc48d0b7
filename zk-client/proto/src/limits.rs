//! Every limit of the wire, its unit last.

/// Largest frame either side accepts unless configured otherwise (`jute.maxbuffer`).
// ZooKeeper: BinaryInputArchive.maxBuffer
pub const FRAME_BYTES_MAX_DEFAULT: usize = 0xf_ffff;

/// What a string or buffer inside a frame may exceed the frame limit by, at least.
// ZooKeeper: BinaryInputArchive.extraMaxBuffer
pub const EXTRA_BYTES_MIN: usize = 1024;

/// Bytes of a session's password.
pub const PASSWORD_BYTES: usize = 16;

/// Path bytes after which a client starts another setWatches message.
// ZooKeeper: ClientCnxn.SET_WATCHES_MAX_LENGTH
pub const SET_WATCHES_BYTES_MAX: usize = 128 * 1024;

/// Longest time to live of a TTL node: 40 bits of milliseconds, some 34.8 years.
// ZooKeeper: EphemeralType.TTL.maxValue
pub const TTL_MILLIS_MAX: i64 = (1 << 40) - 1;

/// Port of a server that a connection string gives no port for.
pub const CLIENT_PORT_DEFAULT: u16 = 2181;

/// Largest message on the election port.
// ZooKeeper: QuorumCnxManager.PACKETMAXSIZE
pub const NOTIFICATION_BYTES_MAX: usize = 512 * 1024;

/// Most bytes of addresses in the first message on the election port.
// ZooKeeper: QuorumCnxManager.maxBuffer
pub const ELECTION_ADDRESS_BYTES_MAX: usize = 2048;
