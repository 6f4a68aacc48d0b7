//! A session over mutual TLS, whose certificate is renewed meanwhile: `cargo run --example tls`
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use std::{fs, sync::Arc, time::Duration};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use zk_client::{Client, Tls};
use zk_server_embedded::Server;

type AnyError = Box<dyn std::error::Error + Send + Sync>;
type Authority = CertifiedIssuer<'static, KeyPair>;

const ANY: (&str, u16) = ("127.0.0.1", 0);

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    // A server inside this process, and in front of it what speaks TLS in its place.
    let server = Server::builder().start().await?;
    let behind = std::env::var("ZK_CONNECT").unwrap_or_else(|_| server.connect_string());
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = Authority::self_signed(params, KeyPair::generate()?)?;
    let connect = terminate(&authority, behind).await?;

    let files = std::env::temp_dir().join(format!("zk-tls-{}", std::process::id()));
    fs::create_dir_all(&files)?;
    let [ca, chain, key] = ["ca.pem", "client.pem", "client.key"].map(|name| files.join(name));
    let renew = || -> Result<(), AnyError> {
        let pair = KeyPair::generate()?;
        let own = CertificateParams::new(["client".to_owned()])?.signed_by(&pair, &authority)?;
        fs::write(&chain, own.pem())?;
        Ok(fs::write(&key, pair.serialize_pem())?)
    };
    fs::write(&ca, authority.pem())?;
    renew()?;
    let tls = Tls::mutual_files(&ca, &chain, &key)?;
    let zk = Client::builder(&*connect).tls(tls.clone()).connect().await?;
    zk.create("/secret", b"only for us").ephemeral().await?;
    println!("read over TLS: {}", String::from_utf8_lossy(&zk.get("/secret").await?.data));

    // The next connection finds out by itself; asking tells whether the files are good.
    renew()?;
    println!("certificate renewed: {}", tls.reload()?);
    Client::builder(&*connect).tls(tls).connect().await?.close().await?;
    let nobody = Client::builder(&*connect).tls(Tls::trusting_file(&ca)?);
    let refused = nobody.connect_timeout(Duration::from_secs(2)).connect().await;
    println!("without a certificate: {}", refused.expect_err("one is wanted"));

    zk.close().await?;
    Ok(fs::remove_dir_all(files)?)
}

/// Speaks TLS in front of a server that does not, with those whom the authority knows.
async fn terminate(authority: &Authority, behind: String) -> Result<String, AnyError> {
    let pair = KeyPair::generate()?;
    let own = CertificateParams::new(["localhost".to_owned()])?.signed_by(&pair, authority)?;
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone())?;
    let provider = Arc::new(ring::default_provider());
    let known = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(known.build()?)
        .with_single_cert(vec![own.der().clone()], pair.into())?;
    let (tls, listener) = (TlsAcceptor::from(Arc::new(config)), TcpListener::bind(ANY).await?);
    let connect = format!("localhost:{}", listener.local_addr()?.port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (handshake, behind) = (tls.accept(stream), behind.clone());
            tokio::spawn(async move {
                let mut server = TcpStream::connect(behind).await?;
                tokio::io::copy_bidirectional(&mut handshake.await?, &mut server).await
            });
        }
    });
    Ok(connect)
}
