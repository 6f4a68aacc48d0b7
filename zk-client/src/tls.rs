//! TLS to the servers, by rustls.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{
        CertificateDer, InvalidDnsNameError, PrivateKeyDer, ServerName,
        pem::{self, PemObject as _},
    },
};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::runtime::Connection;

/// How to speak TLS with the servers; see [`crate::ClientBuilder::tls`].
///
/// A server must show a certificate that leads to one of the trusted authorities and names the host
/// of the connection string (or what [`Tls::expect_name`] says). There is no way to switch that
/// off. Versions 1.3 and 1.2 are spoken.
///
/// A server that is shown a certificate takes the client for its subject: scheme `x509`, as in
/// `CN=client`. ACLs can name it, and [`crate::Client::whoami`] tells it.
///
/// # Certificates that change
/// What came from files ([`Tls::trusting_file`], [`Tls::mutual_files`]) is read again for every new
/// connection, and used from then on if it is other than before. Connections that are there go on
/// as they are. Files that cannot be read or do not fit each other, as in the middle of a change,
/// leave everything as it was, with a warning in the log; [`Tls::reload`] tells what is wrong.
#[derive(Clone)]
pub struct Tls {
    source: Source,
    name: Option<ServerName<'static>>,
}

/// Where the configuration comes from.
#[derive(Clone)]
enum Source {
    Fixed(Arc<ClientConfig>),
    Files(Arc<Mutex<Files>>),
}

/// Files, and what was last made of them.
struct Files {
    paths: Paths,
    texts: Texts,
    config: Arc<ClientConfig>,
}

struct Paths {
    authorities: PathBuf,
    /// The chain and its key.
    identity: Option<(PathBuf, PathBuf)>,
}

/// What stood in the files.
#[derive(Eq, PartialEq)]
struct Texts {
    authorities: Vec<u8>,
    identity: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A text is not PEM.
    #[error("not PEM: {0}")]
    Pem(#[from] pem::Error),
    /// A text has no certificate in it.
    #[error("no certificate in the PEM text")]
    NoCertificate,
    /// A certificate or key cannot be used.
    #[error("{0}")]
    Unusable(#[from] rustls::Error),
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    #[non_exhaustive]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// It is not a name that a certificate can have.
    #[error("'{0}' is neither a host name nor an address")]
    Name(String),
}

impl Tls {
    /// Trusts the authorities in a PEM text, and shows no certificate of our own.
    ///
    /// # Errors
    /// [`TlsError`] when the text holds no certificate, or one that cannot be used.
    pub fn trusting(authorities: &[u8]) -> Result<Self, TlsError> {
        Ok(Self::from_config(made(authorities, None)?))
    }

    /// Trusts the authorities in a PEM text, and shows a certificate of our own: its chain, our own
    /// first, and its private key, both as PEM.
    ///
    /// # Errors
    /// [`TlsError`] when a text does not hold what it should, or something that cannot be used.
    pub fn mutual(authorities: &[u8], chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Ok(Self::from_config(made(authorities, Some((chain, key)))?))
    }

    /// As [`Tls::trusting`], with the authorities in a file that may change.
    ///
    /// # Errors
    /// [`TlsError`] when the file cannot be read or holds nothing that can be used.
    pub fn trusting_file(authorities: impl Into<PathBuf>) -> Result<Self, TlsError> {
        Self::from_files(Paths { authorities: authorities.into(), identity: None })
    }

    /// As [`Tls::mutual`], with authorities, chain and key in files that may change.
    ///
    /// # Errors
    /// [`TlsError`] when a file cannot be read or holds nothing that can be used.
    pub fn mutual_files(
        authorities: impl Into<PathBuf>,
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Result<Self, TlsError> {
        let identity = Some((chain.into(), key.into()));
        Self::from_files(Paths { authorities: authorities.into(), identity })
    }

    fn from_files(paths: Paths) -> Result<Self, TlsError> {
        let texts = paths.read()?;
        let config = texts.config()?;
        let files = Files { paths, texts, config };
        Ok(Self { source: Source::Files(Arc::new(Mutex::new(files))), name: None })
    }

    /// Reads the files again, as every new connection does; says whether they had changed. What
    /// came from memory never has.
    ///
    /// # Errors
    /// [`TlsError`] when a file cannot be read or holds nothing that can be used. What was there
    /// before stays in use.
    pub fn reload(&self) -> Result<bool, TlsError> {
        match &self.source {
            Source::Fixed(_) => Ok(false),
            Source::Files(files) => files.lock().unwrap_or_else(PoisonError::into_inner).reload(),
        }
    }

    /// Uses a configuration made elsewhere, for everything that the others do not cover: keys in
    /// hardware, revocation lists, other algorithms.
    pub const fn from_config(config: Arc<ClientConfig>) -> Self {
        Self { source: Source::Fixed(config), name: None }
    }

    /// Expects this name in every server's certificate, instead of the host it was reached by.
    ///
    /// # Errors
    /// [`TlsError::Name`] when it is neither a host name nor an address.
    pub fn expect_name(mut self, name: &str) -> Result<Self, TlsError> {
        let parsed = ServerName::try_from(name.to_owned());
        self.name = Some(parsed.map_err(|_: InvalidDnsNameError| TlsError::Name(name.into()))?);
        Ok(self)
    }

    /// Shakes hands over a connection to `host`.
    pub(crate) async fn wrap(
        &self,
        connection: Box<dyn Connection>,
        host: &str,
    ) -> io::Result<Box<dyn Connection>> {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => ServerName::try_from(host.to_owned())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
        };
        let connector = TlsConnector::from(self.config());
        let connection: Box<dyn Connection> = Box::new(connector.connect(name, connection).await?);
        Ok(connection)
    }

    /// What to use for a new connection.
    fn config(&self) -> Arc<ClientConfig> {
        match &self.source {
            Source::Fixed(config) => Arc::clone(config),
            Source::Files(files) => {
                let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
                match files.reload() {
                    Ok(true) => tracing::info!("certificates changed"),
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%error, "certificates left as they were"),
                }
                Arc::clone(&files.config)
            }
        }
    }
}

impl Files {
    fn reload(&mut self) -> Result<bool, TlsError> {
        let texts = self.paths.read()?;
        if texts == self.texts {
            return Ok(false);
        }
        self.config = texts.config()?;
        self.texts = texts;
        Ok(true)
    }
}

impl Paths {
    fn read(&self) -> Result<Texts, TlsError> {
        let authorities = text(&self.authorities)?;
        let identity = match &self.identity {
            Some((chain, key)) => Some((text(chain)?, Zeroizing::new(text(key)?))),
            None => None,
        };
        Ok(Texts { authorities, identity })
    }
}

impl Texts {
    fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let identity = self.identity.as_ref().map(|(chain, key)| (&**chain, &***key));
        made(&self.authorities, identity)
    }
}

/// Shows no key.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A configuration of PEM texts: whom to trust, and our own chain and key if we show them.
fn made(
    authorities: &[u8],
    identity: Option<(&[u8], &[u8])>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities)? {
        roots.add(authority)?;
    }
    // Named here, so that no other crate of the program decides which one it is.
    let provider = Arc::new(ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config?.with_root_certificates(roots);
    Ok(Arc::new(match identity {
        Some((chain, key)) => {
            let (chain, key) = (certificates(chain)?, PrivateKeyDer::from_pem_slice(key)?);
            config.with_client_auth_cert(chain, key)?
        }
        None => config.with_no_client_auth(),
    }))
}

fn text(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error| TlsError::File { path: path.into(), error })
}

fn certificates(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() { Err(TlsError::NoCertificate) } else { Ok(certificates) }
}
