//! The encoding of `ZooKeeper`'s messages, on one page.
//!
//! Big-endian. `bool` one byte; `int` four; `long` eight. `buffer` and `ustring`: an `int` length
//! and that many bytes, length −1 for null. `vector`: an `int` count and the elements, −1 for null.
//! A record is its fields in order: no tags, no padding.

mod error;
mod reader;
mod writer;

pub use error::{DecodeError, Expected};
pub use reader::{Reader, WireStr};
pub use writer::Writer;

use alloc::vec::Vec;

use crate::id::{SessionId, Version, Xid, Zxid};

/// Something that can be read from the wire, borrowing from it where it can.
pub trait Decode<'a>: Sized {
    /// Reads one value and leaves the reader behind it.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes do not hold such a value; the reader's place is then
    /// undefined.
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError>;
}

/// Something that can be written to the wire.
pub trait Encode {
    /// Appends the wire form.
    fn encode(&self, writer: &mut Writer);
}

/// Reads one value from the front of `bytes`; bytes after it are ignored, as every `ZooKeeper` peer
/// does.
///
/// # Errors
/// [`DecodeError`] when the bytes do not hold such a value.
pub fn decode<'a, T: Decode<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    T::decode(&mut Reader::new(bytes))
}

/// The wire form of one value.
pub fn encode(value: &impl Encode) -> Vec<u8> {
    let mut writer = Writer::new();
    value.encode(&mut writer);
    writer.into_vec()
}

/// Declares a record: the struct, and its codec in the order of its fields.
macro_rules! record {
    (
        $(#[$meta:meta])*
        pub struct $name:ident $(<$life:lifetime>)? {
            $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$meta])*
        pub struct $name $(<$life>)? {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl<'de $(: $life, $life)?> $crate::jute::Decode<'de> for $name $(<$life>)? {
            fn decode(
                reader: &mut $crate::jute::Reader<'de>,
            ) -> Result<Self, $crate::jute::DecodeError> {
                $(let $field = <$type as $crate::jute::Decode<'de>>::decode(reader)?;)*
                Ok(Self { $($field),* })
            }
        }

        impl $(<$life>)? $crate::jute::Encode for $name $(<$life>)? {
            fn encode(&self, writer: &mut $crate::jute::Writer) {
                $($crate::jute::Encode::encode(&self.$field, writer);)*
            }
        }
    };
}
pub(crate) use record;

macro_rules! through_i64 {
    ($($name:ident)*) => {$(
        impl<'a> Decode<'a> for $name {
            fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                Ok(Self::new(reader.i64()?))
            }
        }

        impl Encode for $name {
            fn encode(&self, writer: &mut Writer) {
                writer.i64(self.get());
            }
        }
    )*};
}
through_i64!(Zxid SessionId);

macro_rules! through_i32 {
    ($($name:ident)*) => {$(
        impl<'a> Decode<'a> for $name {
            fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                Ok(Self::new(reader.i32()?))
            }
        }

        impl Encode for $name {
            fn encode(&self, writer: &mut Writer) {
                writer.i32(self.get());
            }
        }
    )*};
}
through_i32!(Version Xid);

macro_rules! primitive {
    ($($type:ty => $method:ident;)*) => {$(
        impl<'a> Decode<'a> for $type {
            fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
                reader.$method()
            }
        }

        impl Encode for $type {
            fn encode(&self, writer: &mut Writer) {
                writer.$method(*self);
            }
        }
    )*};
}
primitive! {
    i32 => i32;
    i64 => i64;
    bool => bool;
}

/// A nullable buffer.
impl<'de: 'a, 'a> Decode<'de> for Option<&'a [u8]> {
    fn decode(reader: &mut Reader<'de>) -> Result<Self, DecodeError> {
        reader.buffer()
    }
}

impl Encode for Option<&[u8]> {
    fn encode(&self, writer: &mut Writer) {
        writer.buffer(*self);
    }
}

/// A nullable vector.
impl<'a, T: Decode<'a>> Decode<'a> for Option<Vec<T>> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        reader.vector()
    }
}

impl<T: Encode> Encode for Option<Vec<T>> {
    fn encode(&self, writer: &mut Writer) {
        writer.vector(self.as_deref());
    }
}

/// A vector whose null reads as empty.
impl<'a, T: Decode<'a>> Decode<'a> for Vec<T> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(reader.vector()?.unwrap_or_default())
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, writer: &mut Writer) {
        writer.vector(Some(self));
    }
}

#[cfg(test)]
mod tests;
