//! What all locks can be told.

use std::time::Duration;

use zk_client::{Acl, Client, PathError, ZnodePath};

use crate::{
    host,
    line::{Line, Naming, Rule},
};

/// What all locks can be told.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) client: Client,
    pub(crate) path: String,
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) acl: Option<Vec<Acl>>,
    pub(crate) margin: Option<Duration>,
}

impl Options {
    pub(crate) fn new(client: &Client, path: &str) -> Self {
        let (client, path) = (client.clone(), path.to_owned());
        Self { client, path, data: None, acl: None, margin: None }
    }

    /// A line below the path that was given.
    pub(crate) fn line(
        &self,
        recipe: &'static str,
        below: &str,
        naming: Naming,
        rule: impl Rule + 'static,
    ) -> Result<Line, PathError> {
        let path = ZnodePath::new(&format!("{}{below}", self.path))?;
        let data = self.data.clone().unwrap_or_else(|| host::address().into());
        let acl = self.acl.clone();
        Ok(Line::new(recipe, self.client.clone(), path, naming, Box::new(rule), data, acl))
    }
}

macro_rules! lock_options {
    ($builder:ident) => {
        impl $builder {
            /// What others see of us in a look at the contenders; this machine's address as text
            /// unless set, as in Curator.
            pub fn data(mut self, data: impl Into<Vec<u8>>) -> Self {
                self.options.data = Some(data.into());
                self
            }

            /// Who may do what to our node, and to the parents that we create; everybody everything
            /// unless set. Whoever is to contend needs `READ` and `CREATE` on the parent, and
            /// whoever holds needs `DELETE`.
            pub fn acl(mut self, acl: Vec<zk_client::Acl>) -> Self {
                self.options.acl = Some(acl);
                self
            }

            /// How long before the session may be over a holder without contact to the servers is
            /// told that what it holds is lost; a third of the session timeout unless set. This is
            /// the time that is left to stop what is being done. The larger it is, the shorter an
            /// outage that holders survive.
            ///
            /// More than a third is kept only when the connection is seen to break. On one that
            /// hangs, nothing tells an outage from a quiet server before the last third.
            pub const fn margin(mut self, margin: std::time::Duration) -> Self {
                self.options.margin = Some(margin);
                self
            }
        }
    };
}

pub(crate) use lock_options;
