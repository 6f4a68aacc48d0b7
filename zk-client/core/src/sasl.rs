//! SASL: proving who we are before anything else is said, and DIGEST-MD5 in particular.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::fmt;

use md5::{Digest, Md5};
use zeroize::Zeroizing;

/// A way to prove who we are. Give one to [`crate::SessionConfig::sasl`].
pub trait SaslMechanism: fmt::Debug + Send + Sync {
    /// Begins anew, on a new connection. `nonce` is random and not used twice.
    fn begin(&self, nonce: u128) -> Box<dyn SaslExchange>;
}

/// One conversation of a [`SaslMechanism`].
pub trait SaslExchange: Send {
    /// What is said first; nothing if the server begins.
    fn first(&mut self) -> Vec<u8>;

    /// What is said to what the server said.
    ///
    /// # Errors
    /// [`SaslError`] when the server broke the mechanism's rules, or did not prove who it is.
    fn answer(&mut self, challenge: &[u8]) -> Result<SaslStep, SaslError>;
}

/// How a conversation goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SaslStep {
    /// This is said next.
    Say(Vec<u8>),
    /// Everything is said.
    Done,
}

/// What a server did wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SaslError {
    /// Its words make no sense.
    #[error("a SASL challenge that makes no sense")]
    Nonsense,
    /// It asks for something that we do not do.
    #[error("a SASL challenge for something unknown")]
    Unsupported,
    /// It does not know the secret itself.
    #[error("the server does not know the secret")]
    Impostor,
}

/// DIGEST-MD5 as `ZooKeeper` servers speak it (RFC 2831, quality of protection `auth`).
///
/// It keeps the password from being read on the way, and no more: use TLS besides.
#[derive(Clone)]
pub struct DigestMd5 {
    user: String,
    password: Zeroizing<String>,
}

/// The service and the name that every server goes by.
const DIGEST_URI: &str = "zookeeper/zk-sasl-md5";

impl DigestMd5 {
    /// As this user, with this password.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self { user: user.into(), password: Zeroizing::new(password.into()) }
    }
}

/// Leaves the password out.
impl fmt::Debug for DigestMd5 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestMd5").field("user", &self.user).finish_non_exhaustive()
    }
}

impl SaslMechanism for DigestMd5 {
    fn begin(&self, nonce: u128) -> Box<dyn SaslExchange> {
        Box::new(DigestExchange {
            mechanism: self.clone(),
            nonce: format!("{nonce:032x}"),
            proof: None,
        })
    }
}

struct DigestExchange {
    mechanism: DigestMd5,
    nonce: String,
    /// What the server must answer, once we have answered it.
    proof: Option<String>,
}

impl SaslExchange for DigestExchange {
    fn first(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn answer(&mut self, challenge: &[u8]) -> Result<SaslStep, SaslError> {
        let text = core::str::from_utf8(challenge).map_err(|_| SaslError::Nonsense)?;
        let directives = directives(text).ok_or(SaslError::Nonsense)?;
        let value = |name: &str| {
            let found = directives.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_str())
        };
        if let Some(proof) = &self.proof {
            return match value("rspauth") {
                Some(got) if got == proof => Ok(SaslStep::Done),
                Some(_) | None => Err(SaslError::Impostor),
            };
        }
        let server_nonce = value("nonce").ok_or(SaslError::Nonsense)?;
        if value("algorithm") != Some("md5-sess")
            || value("qop").is_some_and(|all| !all.split(',').any(|qop| qop.trim() == "auth"))
        {
            return Err(SaslError::Unsupported);
        }
        let realm = value("realm").unwrap_or_default();
        let key = self.key(realm, server_nonce);
        let response = |verb: &str| {
            let what = hex(&md5(&[verb.as_bytes(), b":", DIGEST_URI.as_bytes()]));
            let parts = [&*key, server_nonce, "00000001", &self.nonce, "auth", &what];
            hex(&md5(&[parts.join(":").as_bytes()]))
        };
        let charset = if value("charset") == Some("utf-8") { "charset=utf-8," } else { "" };
        let answer = format!(
            "{charset}username=\"{user}\",realm=\"{realm}\",nonce=\"{server_nonce}\",nc=00000001,\
             cnonce=\"{nonce}\",digest-uri=\"{DIGEST_URI}\",maxbuf=65536,response={response},\
             qop=auth,authzid=\"{user}\"",
            user = quoted(&self.mechanism.user),
            realm = quoted(realm),
            server_nonce = quoted(server_nonce),
            nonce = self.nonce,
            response = response("AUTHENTICATE"),
        );
        self.proof = Some(response(""));
        Ok(SaslStep::Say(answer.into_bytes()))
    }
}

impl DigestExchange {
    /// The session key, in hexadecimal digits.
    // RFC 2831, section 2.1.2.1: A1
    fn key(&self, realm: &str, server_nonce: &str) -> String {
        let DigestMd5 { user, password } = &self.mechanism;
        let secret = Zeroizing::new(narrow(password));
        let start = md5(&[&narrow(user), b":", &narrow(realm), b":", &secret]);
        let (own, user) = (self.nonce.as_bytes(), user.as_bytes());
        hex(&md5(&[&start, b":", server_nonce.as_bytes(), b":", own, b":", user]))
    }
}

fn md5(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Md5::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A text in Latin-1 if it can be written so, in UTF-8 if not.
// RFC 2831, section 2.1.2.1
fn narrow(text: &str) -> Vec<u8> {
    let narrow: Result<Vec<u8>, _> = text.chars().map(u8::try_from).collect();
    narrow.unwrap_or_else(|_| text.as_bytes().to_vec())
}

fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// `name="value",name=value`, with backslashes before quotes in values.
fn directives(text: &str) -> Option<Vec<(String, String)>> {
    let mut all = Vec::new();
    let mut rest = text.trim_matches([' ', ',']);
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=')?;
        let mut value = String::new();
        if let Some(inner) = behind.strip_prefix('"') {
            let mut letters = inner.chars();
            loop {
                match letters.next()? {
                    '"' => break,
                    '\\' => value.push(letters.next()?),
                    letter => value.push(letter),
                }
            }
            rest = letters.as_str();
        } else {
            let (plain, behind) = behind.split_once(',').unwrap_or((behind, ""));
            value.push_str(plain.trim());
            rest = behind;
        }
        all.push((name.trim().into(), value));
        rest = rest.trim_start_matches([' ', ',']);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(step: &SaslStep) -> &str {
        match step {
            SaslStep::Say(bytes) => core::str::from_utf8(bytes).expect("text"),
            SaslStep::Done => "",
        }
    }

    #[test]
    fn the_example_of_the_standard_comes_out() {
        // RFC 2831, section 4, with its service, host and without an authorization id.
        let key = md5(&[b"chris:elwood.innosoft.com:secret"]);
        let a1 = hex(&md5(&[&key, b":OA6MG9tEQGm2hh:OA6MHXh6VqTrRk"]));
        let a2 = hex(&md5(&[b"AUTHENTICATE:imap/elwood.innosoft.com"]));
        let all = format!("{a1}:OA6MG9tEQGm2hh:00000001:OA6MHXh6VqTrRk:auth:{a2}");
        assert_eq!(hex(&md5(&[all.as_bytes()])), "d388dad90d4bbd760a152321f2143af7");
    }

    #[test]
    fn a_challenge_is_answered_and_the_answer_is_checked() {
        let mut exchange = DigestMd5::new("bob", "secret").begin(7);
        assert_eq!(exchange.first(), b"");
        let challenge = br#"realm="zk-sasl-md5",nonce="abc\"def",charset=utf-8,algorithm=md5-sess"#;
        let step = exchange.answer(challenge).expect("a good challenge");
        let answer = said(&step);
        assert!(answer.starts_with("charset=utf-8,username=\"bob\",realm=\"zk-sasl-md5\","));
        assert!(answer.contains(r#"nonce="abc\"def",nc=00000001,"#), "{answer}");
        assert!(!answer.contains("secret"));
        assert_eq!(exchange.answer(b"rspauth=0123"), Err(SaslError::Impostor));
    }

    #[test]
    fn m59_what_makes_no_sense_is_refused() {
        let answer = |challenge: &[u8]| DigestMd5::new("u", "p").begin(1).answer(challenge);
        assert_eq!(answer(b""), Err(SaslError::Nonsense));
        assert_eq!(answer(b"nonce"), Err(SaslError::Nonsense));
        assert_eq!(answer(b"nonce=\"a"), Err(SaslError::Nonsense));
        assert_eq!(answer(b"nonce=\"a\\"), Err(SaslError::Nonsense));
        assert_eq!(answer(b"\xff"), Err(SaslError::Nonsense));
        assert_eq!(answer(b"nonce=a"), Err(SaslError::Unsupported));
        assert_eq!(answer(b"nonce=a,algorithm=md5"), Err(SaslError::Unsupported));
        let encrypting = b"nonce=a,algorithm=md5-sess,qop=\"auth-conf\"";
        assert_eq!(answer(encrypting), Err(SaslError::Unsupported));
    }

    #[test]
    fn the_password_is_not_shown() {
        let shown = format!("{:?}", DigestMd5::new("bob", "secret"));
        assert_eq!(shown, "DigestMd5 { user: \"bob\", .. }");
    }

    #[test]
    fn letters_beyond_latin_are_hashed_as_they_are() {
        assert_eq!(narrow("é"), [0xe9]);
        assert_eq!(narrow("€"), "€".as_bytes());
    }
}
