//! The questions an operator may ask in place of a handshake: four letters each.

macro_rules! words {
    ($($(#[$meta:meta])* $name:ident = $word:literal,)*) => {
        /// One four-letter question.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum FourLetter {
            $($(#[$meta])* $name,)*
            /// Sets the trace mask to the number that follows the word.
            Stmk(i64),
        }

        impl FourLetter {
            /// Every question.
            pub const ALL: &'static [Self] = &[$(Self::$name,)* Self::Stmk(0)];

            /// The question a connection's first four bytes ask, if they ask one. The number that
            /// `stmk` sets follows in the stream and is zero here.
            pub const fn new(word: &[u8; 4]) -> Option<Self> {
                match word {
                    $($word => Some(Self::$name),)*
                    b"stmk" => Some(Self::Stmk(0)),
                    _ => None,
                }
            }

            /// The four letters.
            pub const fn word(self) -> &'static [u8; 4] {
                match self {
                    $(Self::$name => $word,)*
                    Self::Stmk(_) => b"stmk",
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
    /// Watches by session.
    Wchc = b"wchc",
    /// Watches by path.
    Wchp = b"wchp",
    /// Watches in short.
    Wchs = b"wchs",
}

impl FourLetter {
    /// The word as text, as the allow-list spells it.
    pub fn as_str(self) -> &'static str {
        core::str::from_utf8(self.word()).unwrap_or_default()
    }

    /// Whether the answer lists connections.
    pub const fn needs_connections(self) -> bool {
        matches!(self, Self::Cons | Self::Stat | Self::Dump)
    }

    /// Whether the answer lists sessions and the nodes they own.
    pub const fn needs_sessions(self) -> bool {
        matches!(self, Self::Dump)
    }

    /// Whether the answer lists watches; `wchs` only counts them.
    pub const fn needs_watches(self) -> bool {
        matches!(self, Self::Wchc | Self::Wchp)
    }

    /// Whether the answer needs facts about the machine that only the shell can find out.
    pub const fn needs_host(self) -> bool {
        matches!(self, Self::Conf | Self::Dirs | Self::Envi | Self::Mntr)
    }
}
