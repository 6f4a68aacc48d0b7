//! Names of the wire that are numbers there.

/// Declares an enum whose variants have a number and a name in `ZooKeeper`'s spelling, and the ways
/// from one to the other. The number comes first, the name behind it.
macro_rules! numbered {
    ($(#[$doc:meta])* pub enum $kind:ident {
        $($(#[$meta:meta])* $name:ident = $code:literal $word:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum $kind {
            $($(#[$meta])* $name = $code,)*
        }

        impl $kind {
            /// Every one there is.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The number.
            pub const fn get(self) -> i32 {
                self as i32
            }

            /// What stands behind a number, if anything does.
            pub const fn new(code: i32) -> Option<Self> {
                match code {
                    $($code => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The name in `ZooKeeper`'s spelling.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

pub(crate) use numbered;
