//! What a client sees when its session ends and another one follows.
//!
//! ```sh
//! cargo run --example session
//! ```
#![expect(clippy::print_stdout, reason = "examples talk to people")]

use zk_client::{Client, ExpiryPolicy, SessionState};
use zk_server_embedded::Server;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // A server inside this process: only there can a session be ended at will.
    let server = Server::builder().start().await?;
    let builder = Client::builder(server.connect_string()).on_expiry(ExpiryPolicy::Recreate);
    let zk = builder.connect().await?;
    let first = zk.epoch().ok_or("no session")?;
    println!("session {} is open", first.number);

    // One node goes with the session, the other stays.
    zk.create("/here", b"").ephemeral().await?;
    zk.create("/kept", b"1").await?;
    let (_, changed) = zk.get_and_watch("/kept").await?;
    // What stands and falls with the session is done through a handle that does, too.
    let bound = zk.this_session();

    let mut states = zk.states();
    server.expire_session(first.session).await?;
    let second = loop {
        let state = states.next().await.ok_or("the client is at its end")?;
        if let SessionState::Suspended { .. } = state {
            println!("no connection; the session may live");
        }
        if let SessionState::Connected(epoch) = state
            && epoch != first
        {
            break epoch;
        }
    };
    println!("session {} is open", second.number);

    println!("/here is there: {}", zk.exists("/here").await?.is_some());
    println!("/kept is there: {}", zk.exists("/kept").await?.is_some());
    let refused = bound.set("/kept", b"2").await.expect_err("its session is over");
    println!("bound to session {}: {refused} ({:?})", first.number, refused.outcome());
    println!("bound to session {}: {:?}", first.number, bound.state());

    // Watches go on in the next session.
    let answer = zk.set("/kept", b"3").send().stamped().await?;
    println!("set in session {}", answer.epoch.ok_or("no session")?.number);
    let event = changed.await?;
    println!("{:?} of {}, told in session {}", event.kind, event.path, event.epoch.number);

    zk.close().await?;
    server.shutdown().await;
    Ok(())
}
