//! TLS with Apache's own server.

use std::{path::Path, time::Duration};

use zk_client::{Client, ConnectError, Tls};
use zk_tests::{
    patience::at_most,
    ports,
    scratch::Scratch,
    subject::{Kind, Settings, Subject},
};

const CERTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../zk-client/tests/client/certs");

fn read(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(CERTS).join(name)).expect("test data")
}

#[tokio::test]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn a_session_with_apache_goes_over_mutual_tls() {
    let scratch = Scratch::new("tls");
    let key_store = scratch.path().join("server-with-key.pem");
    std::fs::write(&key_store, [read("server.key"), read("server.pem")].concat()).expect("room");
    let trust_store = Path::new(CERTS).join("ca.pem");
    let port = ports::free();
    let settings = Settings::default()
        .key("secureClientPort", &port.to_string())
        .key("secureClientPortAddress", "127.0.0.1")
        .property(
            "zookeeper.serverCnxnFactory",
            "org.apache.zookeeper.server.NettyServerCnxnFactory",
        )
        .property("zookeeper.ssl.keyStore.location", &key_store.display().to_string())
        .property("zookeeper.ssl.trustStore.location", &trust_store.display().to_string());
    let server = Subject::start(Kind::Apache39, &settings).await;
    let address = format!("127.0.0.1:{port}");

    let tls = Tls::mutual(&read("ca.pem"), &read("client.pem"), &read("client.key"));
    let connecting = Client::builder(&address).tls(tls.expect("good test data")).connect();
    let zk = at_most("a session", connecting).await.expect("a session");
    let large = vec![7; 500_000];
    zk.create("/large", &large).await.expect("created");
    assert_eq!(zk.get("/large").await.expect("there").data, large);
    let whoami = zk.whoami().await.expect("an answer");
    assert!(whoami.iter().any(|id| id.scheme == "x509" && id.id == "CN=client"), "{whoami:?}");
    zk.close().await.expect("closed");

    // Without a certificate there is no session.
    let tls = Tls::trusting(&read("ca.pem")).expect("good test data");
    let refusal = async {
        loop {
            let builder = Client::builder(&address).tls(tls.clone());
            let connecting = builder.connect_timeout(Duration::from_secs(3)).connect();
            match connecting.await {
                Err(ConnectError::DeadlinePassed { last, .. }) if last.contains("ertificate") => {
                    return;
                }
                // Nobody has said anything yet.
                Err(ConnectError::DeadlinePassed { .. }) => {}
                Ok(_) => panic!("a session without a certificate"),
                Err(error) => panic!("{error}"),
            }
        }
    };
    at_most("a refusal for want of a certificate", refusal).await;
    drop(server);
}
