//! SASL with Apache's own server.

use zk_client::{Client, ConnectError, DigestMd5, SessionEnd};
use zk_tests::{
    patience::at_most,
    scratch::Scratch,
    subject::{Kind, Settings, Subject},
};

#[tokio::test]
#[ignore = "needs a JVM and Apache 3.9.5: eval \"$(.ci/peers)\""]
async fn apache_knows_us_by_digest_md5() {
    let scratch = Scratch::new("sasl");
    let logins = scratch.path().join("jaas.conf");
    let text = "Server {\n  org.apache.zookeeper.server.auth.DigestLoginModule required\n  \
                user_bob=\"sécret\" user_eve=\"other\";\n};\n";
    std::fs::write(&logins, text).expect("room");
    let settings = Settings::default()
        .property("java.security.auth.login.config", &logins.display().to_string())
        .property(
            "zookeeper.authProvider.1",
            "org.apache.zookeeper.server.auth.SASLAuthenticationProvider",
        );
    let server = Subject::start(Kind::Apache39, &settings).await;
    let connect = |user: &'static str, password: &'static str| {
        let mechanism = DigestMd5::new(user, password);
        Client::builder(server.connect_string()).sasl(mechanism).connect()
    };
    let zk = at_most("a session", connect("bob", "sécret")).await.expect("a session");
    let whoami = zk.whoami().await.expect("an answer");
    assert!(whoami.iter().any(|id| id.scheme == "sasl" && id.id == "bob"), "{whoami:?}");
    zk.create("/a", b"").acl(&zk_client::Acl::creator_all()).await.expect("created");
    zk.close().await.expect("closed");

    let eve = at_most("a session", connect("eve", "other")).await.expect("a session");
    eve.get("/a").await.expect_err("it is bob's");
    let refused = at_most("a refusal", connect("bob", "guess")).await;
    let refused = refused.expect_err("it is not bob");
    assert_eq!(refused, ConnectError::SessionOver(SessionEnd::AuthFailed));
}
