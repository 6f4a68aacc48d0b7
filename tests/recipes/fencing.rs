//! What protects a resource when a holder does not know that its time is over.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use zk_recipes::{FencingToken, Mutex};
use zk_tests::scratch::Scratch;

use crate::world::{World, in_time, session};

const PATH: &str = "/locks/document";

/// A document that refuses tokens smaller than the largest it has seen.
struct Document {
    path: PathBuf,
}

impl Document {
    fn new(folder: &Path) -> Self {
        Self { path: folder.join("document") }
    }

    /// The token it was written with and the text.
    fn read(&self) -> io::Result<(i64, String)> {
        let all = match fs::read_to_string(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, String::new())),
            all => all?,
        };
        let (token, text) = all.split_once('\n').ok_or(io::ErrorKind::InvalidData)?;
        Ok((token.parse().map_err(io::Error::other)?, text.to_owned()))
    }

    fn write(&self, token: FencingToken, text: &str) -> io::Result<()> {
        if token.get() < self.read()?.0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        fs::write(&self.path, format!("{token}\n{text}"))
    }
}

#[tokio::test]
async fn pitfall_55_a_resource_refuses_a_holder_that_slept_through_its_end() {
    let world = World::start().await;
    let scratch = Scratch::new("fencing");
    let document = Document::new(scratch.path());
    let (zk, other) = (world.client().await, world.client().await);
    let paused = Mutex::new(&zk, PATH).expect("a path").lock().await.expect("the lock");
    document.write(paused.token(), "first").expect("it holds the lock");

    // It looks at nothing while its session ends and somebody else comes.
    world.server.expire_session(session(&zk)).await.expect("a running server");
    let next = Mutex::new(&other, PATH).expect("a path").lock();
    let next = in_time("turn", next).await.expect("the lock");
    document.write(next.token(), "second").expect("it holds the lock");

    let late = document.write(paused.token(), "late").expect_err("its time is over");
    assert_eq!(late.kind(), io::ErrorKind::PermissionDenied);
    assert_eq!(document.read().expect("there"), (next.token().get(), "second".to_owned()));
    let fenced = paused.txn().set("/", b"late", zk_client::Version::ANY).commit().await;
    fenced.expect_err("the ensemble refuses it as well");
}
