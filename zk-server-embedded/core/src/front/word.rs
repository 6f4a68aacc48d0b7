//! The questions an operator may ask in place of a handshake: four letters each.

macro_rules! words {
    ($($(#[$meta:meta])* $name:ident = $word:literal,)*) => {
        /// One four-letter question.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum FourLetter {
            $($(#[$meta])* $name,)*
        }

        impl FourLetter {
            /// Every question.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The question a connection's first four bytes ask, if they ask one.
            pub const fn new(word: &[u8; 4]) -> Option<Self> {
                match word {
                    $($word => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The four letters.
            pub const fn word(self) -> &'static [u8; 4] {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

words! {
    /// The configuration.
    Conf = b"conf",
    /// All connections.
    Cons = b"cons",
    /// Resets connection statistics.
    Crst = b"crst",
    /// Sizes of the data directories.
    Dirs = b"dirs",
    /// Sessions and ephemeral nodes.
    Dump = b"dump",
    /// The environment.
    Envi = b"envi",
    /// The trace mask.
    Gtmk = b"gtmk",
    /// Digests of the tree.
    Hash = b"hash",
    /// Whether the server is read-only.
    Isro = b"isro",
    /// Everything that is counted.
    Mntr = b"mntr",
    /// Whether the process lives.
    Ruok = b"ruok",
    /// The server in short.
    Srvr = b"srvr",
    /// Resets server statistics.
    Srst = b"srst",
    /// The server in short, with its connections.
    Stat = b"stat",
    /// Sets the trace mask; eight bytes follow.
    Stmk = b"stmk",
    /// Watches by session.
    Wchc = b"wchc",
    /// Watches by path.
    Wchp = b"wchp",
    /// Watches in short.
    Wchs = b"wchs",
}
