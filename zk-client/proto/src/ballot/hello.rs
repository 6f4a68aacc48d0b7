//! The first bytes on the election port: protocol version, server id, addresses.

use alloc::{string::String, vec::Vec};
use core::fmt::Write as _;

use crate::{
    ensemble::HostPort,
    id::ServerId,
    jute::{Decode, DecodeError, Encode, Expected, Reader, Writer},
    limits::ELECTION_ADDRESS_BYTES_MAX,
};

/// In which form somebody says who he is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HelloForm {
    /// The id and nothing else, as members up to 3.4 do.
    Bare,
    /// Id and one address, as members from 3.5 on do.
    Address,
    /// Id and every address, as members from 3.6 on do where address lists are allowed.
    AddressList,
}

impl HelloForm {
    // ZooKeeper: QuorumCnxManager.PROTOCOL_VERSION_V1, PROTOCOL_VERSION_V2
    const ADDRESS: i64 = -65_536;
    const ADDRESS_LIST: i64 = -65_535;
}

/// What the dialling side says first. It must be written in one piece: Java members read the
/// address with a single call.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Hello {
    /// Who it is; [`Hello::ANONYMOUS`] for an observer of 3.4 that does not say.
    pub server: ServerId,
    /// The form it came in.
    pub form: HelloForm,
    /// Where to dial back, as the sender sees it. Empty in the bare form.
    pub addresses: Vec<HostPort>,
}

impl Hello {
    /// The id of an observer that does not say who it is.
    // ZooKeeper: QuorumPeer.OBSERVER_ID
    pub const ANONYMOUS: ServerId = ServerId::new(i64::MAX);

    /// What a member of today says where address lists are not allowed.
    pub fn new(server: ServerId, address: HostPort) -> Self {
        Self { server, form: HelloForm::Address, addresses: alloc::vec![address] }
    }

    /// The addresses somebody else can dial: those that do not mean "every address of my machine".
    pub fn dialable(&self) -> impl Iterator<Item = &HostPort> {
        self.addresses.iter().filter(|address| !address.is_wildcard())
    }
}

impl<'a> Decode<'a> for Hello {
    // ZooKeeper: QuorumCnxManager.InitialMessage.parse
    fn decode(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let form = match reader.i64()? {
            server @ 0.. => {
                let server = ServerId::new(server);
                return Ok(Self { server, form: HelloForm::Bare, addresses: Vec::new() });
            }
            HelloForm::ADDRESS => HelloForm::Address,
            HelloForm::ADDRESS_LIST => HelloForm::AddressList,
            got => {
                let expected = Expected::OneOf("protocol version of the election port");
                return Err(DecodeError { offset: 0, expected, got });
            }
        };
        let server = ServerId::new(reader.i64()?);
        let offset = reader.offset();
        let length = reader.i32()?;
        let Ok(count @ 1..=ELECTION_ADDRESS_BYTES_MAX) = usize::try_from(length) else {
            return Err(DecodeError { offset, expected: Expected::Length, got: length.into() });
        };
        let offset = reader.offset();
        let addresses = addresses(reader.take(count)?).ok_or_else(|| DecodeError {
            offset,
            expected: Expected::OneOf("host:port"),
            got: length.into(),
        })?;
        Ok(Self { server, form, addresses })
    }
}

fn addresses(bytes: &[u8]) -> Option<Vec<HostPort>> {
    let text = core::str::from_utf8(bytes).ok()?;
    text.split('|').map(|address| HostPort::parse(address).ok()).collect()
}

impl Encode for Hello {
    fn encode(&self, writer: &mut Writer) {
        writer.i64(match self.form {
            HelloForm::Bare => return writer.i64(self.server.get()),
            HelloForm::Address => HelloForm::ADDRESS,
            HelloForm::AddressList => HelloForm::ADDRESS_LIST,
        });
        writer.i64(self.server.get());
        let mut text = String::new();
        for address in &self.addresses {
            let bar = if text.is_empty() { "" } else { "|" };
            write!(text, "{bar}{address}").expect("text grows as needed");
        }
        writer.string(&text);
    }
}

/// A hello taken off the front of received bytes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HelloSplit {
    /// The hello.
    pub hello: Hello,
    /// How many bytes it took.
    pub length: usize,
}

/// The hello in front of `bytes`; `None` while it is not all there.
///
/// # Errors
/// [`DecodeError`] when it is none. The connection is then of no further use.
pub fn split_hello(bytes: &[u8]) -> Result<Option<HelloSplit>, DecodeError> {
    let mut reader = Reader::new(bytes);
    match Hello::decode(&mut reader) {
        Ok(hello) => Ok(Some(HelloSplit { hello, length: reader.offset() })),
        Err(DecodeError { expected: Expected::Bytes(_), .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jute::encode;

    fn address(text: &str) -> HostPort {
        HostPort::parse(text).expect("legal")
    }

    #[test]
    fn every_form_survives_reading_and_writing() {
        let one = Hello::new(ServerId::new(3), address("127.0.0.1:3888"));
        let list = Hello {
            form: HelloForm::AddressList,
            addresses: alloc::vec![address("a:1"), address("[::1]:2")],
            ..one
        };
        let bare = Hello { form: HelloForm::Bare, addresses: Vec::new(), ..one };
        for hello in [one, list, bare] {
            let bytes = encode(&hello);
            let split = split_hello(&bytes).expect("legal").expect("whole");
            assert_eq!((split.hello, split.length), (hello, bytes.len()));
            for end in 0..bytes.len() {
                assert_eq!(split_hello(&bytes[..end]), Ok(None), "{end}");
            }
        }
    }

    #[test]
    fn an_address_that_means_every_address_is_not_dialled() {
        let mut hello = Hello::new(ServerId::new(3), address("0.0.0.0:3888"));
        hello.addresses.push(address("[::]:3888"));
        hello.addresses.push(address("h:3888"));
        assert_eq!(hello.dialable().collect::<Vec<_>>(), [&address("h:3888")]);
    }

    #[test]
    fn a_foreign_version_or_an_impossible_length_is_refused_at_once() {
        assert!(split_hello(&(-65_534_i64).to_be_bytes()).is_err());
        let mut bytes = encode(&Hello::new(ServerId::new(3), address("h:1")));
        for length in [0_i32, -1, 2049, i32::MAX] {
            bytes.splice(16..20, length.to_be_bytes());
            assert!(split_hello(&bytes[..20]).is_err(), "{length}");
        }
    }

    #[test]
    fn an_address_without_a_port_is_refused() {
        for text in ["host", "host:", "host:1:2", "a:1|", "[::1]", "[::1]1", "h:99999"] {
            let mut writer = Writer::new();
            writer.i64(HelloForm::ADDRESS);
            writer.i64(1);
            writer.string(text);
            assert!(split_hello(writer.as_slice()).is_err(), "{text}");
        }
    }
}
