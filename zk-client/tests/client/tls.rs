//! TLS, against a scripted server that speaks it.

use std::{fs, io, path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio_rustls::TlsAcceptor;
use zk_client::{ConnectError, Tls, TlsError};

use crate::fake::{Conversation, Server, world_at};

const CA: &[u8] = include_bytes!("certs/ca.pem");
const OTHER_CA: &[u8] = include_bytes!("certs/other-ca.pem");
const CLIENT: (&[u8], &[u8]) =
    (include_bytes!("certs/client.pem"), include_bytes!("certs/client.key"));

/// A server of the name `zk1`.
fn acceptor(wants_certificate: bool) -> TlsAcceptor {
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("good test data");
    let config = if wants_certificate {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(CA).expect("good test data"))
            .expect("good test data");
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        config.with_client_cert_verifier(verifier.build().expect("good test data"))
    } else {
        config.with_no_client_auth()
    };
    let chain = vec![
        CertificateDer::from_pem_slice(include_bytes!("certs/server.pem")).expect("good test data"),
    ];
    let key =
        PrivateKeyDer::from_pem_slice(include_bytes!("certs/server.key")).expect("good test data");
    TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).expect("good test data")))
}

async fn accept(server: &mut Server, acceptor: &TlsAcceptor) -> io::Result<Conversation> {
    let stream = acceptor.accept(server.knock().await).await?;
    Ok(Conversation::over(stream))
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_over_tls() {
    let (mut server, builder) = world_at("zk1");
    let zk = builder.tls(Tls::trusting(CA).unwrap()).start().unwrap();
    let mut peer = accept(&mut server, &acceptor(false)).await.unwrap();
    peer.welcome().await;
    let get = zk.get("/a");
    let xid = peer.expect("getData /a").await;
    peer.reply_data(xid, b"secret").await;
    assert_eq!(&get.await.unwrap().data[..], b"secret");

    // More than the connection holds at once, both ways.
    let large = vec![7; 900_000];
    let sets: Vec<_> = (0..4).map(|_| zk.set("/a", &large).send()).collect();
    for set in sets {
        let xid = peer.expect("setData /a").await;
        peer.reply_with(xid, &zk_client::Stat::default()).await;
        set.await.unwrap();
    }
    let get = zk.get("/a");
    let xid = peer.expect("getData /a").await;
    peer.reply_data(xid, &large).await;
    assert_eq!(get.await.unwrap().data.len(), large.len());
}

#[tokio::test(start_paused = true)]
async fn a_client_shows_its_certificate() {
    let (mut server, builder) = world_at("zk1");
    let tls = Tls::mutual(CA, CLIENT.0, CLIENT.1).unwrap();
    let _zk = builder.tls(tls).start().unwrap();
    let mut peer = accept(&mut server, &acceptor(true)).await.unwrap();
    peer.welcome().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_without_a_certificate_is_not_let_in_where_one_is_wanted() {
    let why = refusal("zk1", Tls::trusting(CA).unwrap(), &acceptor(true)).await;
    assert!(why.contains("CertificateRequired"), "{why}");
}

/// Why no session is opened.
async fn refusal(connect_string: &str, tls: Tls, acceptor: &TlsAcceptor) -> String {
    let (mut server, builder) = world_at(connect_string);
    let connecting = builder.tls(tls).connect();
    let serving = async {
        loop {
            assert!(accept(&mut server, acceptor).await.is_err(), "nothing is said to it");
        }
    };
    tokio::select! {
        biased;
        connected = connecting => match connected {
            Err(ConnectError::DeadlinePassed { last, .. }) => last,
            other => panic!("{other:?}"),
        },
        () = serving => unreachable!("it serves for ever"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_must_be_the_one_it_was_looked_for_as() {
    let other_name = refusal("zk2", Tls::trusting(CA).unwrap(), &acceptor(false)).await;
    assert!(other_name.contains("certificate"), "{other_name}");
    let other_authority = refusal("zk1", Tls::trusting(OTHER_CA).unwrap(), &acceptor(false)).await;
    assert!(other_authority.contains("certificate"), "{other_authority}");
}

#[tokio::test(start_paused = true)]
async fn another_name_may_be_expected_than_the_host_has() {
    let (mut server, builder) = world_at("zk2");
    let tls = Tls::trusting(CA).unwrap().expect_name("zk1").unwrap();
    let _zk = builder.tls(tls).start().unwrap();
    let mut peer = accept(&mut server, &acceptor(false)).await.unwrap();
    peer.welcome().await;
}

#[tokio::test(start_paused = true)]
async fn files_that_change_are_noticed_by_the_next_connection() {
    let files = Files::new("change");
    let (trusted, chain, key) = (files.path("ca.pem"), files.path("a.pem"), files.path("a.key"));
    fs::write(&trusted, CA).expect("room");
    fs::write(&chain, CLIENT.0).expect("room");
    fs::write(&key, CLIENT.1).expect("room");
    let tls = Tls::mutual_files(&trusted, &chain, &key).expect("good test data");
    assert!(!tls.reload().expect("readable"), "nothing has changed");
    let (mut server, builder) = world_at("zk1");
    let zk = builder.tls(tls.clone()).start().unwrap();
    let mut peer = accept(&mut server, &acceptor(true)).await.unwrap();
    peer.welcome().await;

    // In the middle of a change the new chain has no key yet: the old pair is shown.
    let server_key: &[u8] = include_bytes!("certs/server.key");
    fs::write(&key, server_key).expect("room");
    assert!(matches!(tls.reload(), Err(TlsError::Unusable(_))));
    drop(peer);
    let mut peer = accept(&mut server, &acceptor(true)).await.expect("the pair before");
    peer.welcome().await;
    fs::write(&chain, include_bytes!("certs/server.pem")).expect("room");
    drop(peer);
    let refused = acceptor(true).accept(server.knock().await).await.expect_err("the new pair");
    assert!(refused.to_string().contains("client authentication"), "{refused}");
    fs::write(&chain, CLIENT.0).expect("room");
    fs::write(&key, CLIENT.1).expect("room");
    let mut peer = accept(&mut server, &acceptor(true)).await.expect("the first pair again");
    peer.welcome().await;

    // Of the authorities too.
    fs::write(&trusted, OTHER_CA).expect("room");
    drop(peer);
    assert!(accept(&mut server, &acceptor(true)).await.is_err(), "it is trusted no more");
    fs::write(&trusted, CA).expect("room");
    assert!(tls.reload().expect("readable"));
    fs::remove_file(&trusted).expect("there");
    let gone = tls.reload().expect_err("no file");
    assert!(matches!(&gone, TlsError::File { path, .. } if *path == trusted), "{gone}");
    assert!(gone.to_string().starts_with(&trusted.display().to_string()), "{gone}");
    drop(zk);
}

/// A directory of its own, gone with the test.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("zk-client-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("room");
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_cannot_be_used_is_refused_at_once() {
    assert!(matches!(Tls::trusting(b""), Err(TlsError::NoCertificate)));
    assert!(matches!(Tls::mutual(CA, b"", CLIENT.1), Err(TlsError::NoCertificate)));
    assert!(matches!(Tls::mutual(CA, CLIENT.0, CLIENT.0), Err(TlsError::Pem(_))));
    let wrong_key: &[u8] = include_bytes!("certs/server.key");
    assert!(matches!(Tls::mutual(CA, CLIENT.0, wrong_key), Err(TlsError::Unusable(_))));
    let named = Tls::trusting(CA).unwrap().expect_name("not a name");
    assert!(matches!(named, Err(TlsError::Name(_))));
    assert!(matches!(Tls::trusting_file("no such file"), Err(TlsError::File { .. })));
    let shown = format!("{:?}", Tls::mutual(CA, CLIENT.0, CLIENT.1).unwrap());
    assert_eq!(shown, "Tls { name: None, .. }");
}
