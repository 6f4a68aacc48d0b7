//! One's own node replaced by another in one transaction, so that nobody can step in between.

use zk_client::{
    CreateMode, ErrorCode, MultiError, MultiResult, Op, Outcome, RequestError, Version,
};

use super::{Line, is_passing, place::Standing, reach::Reach};
use crate::error::ReleaseError;

/// A node being replaced by another.
#[derive(Debug)]
pub(super) struct Exchange {
    from: Standing,
    to: String,
    step: Step,
}

#[derive(Debug)]
enum Step {
    Asked(Op<Vec<MultiResult>, MultiError>),
    /// The answer was lost, or did not say enough.
    Unknown,
    /// It certainly did not happen.
    Refused(MultiError),
}

/// Why a node was not replaced.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    /// There was none to be replaced any more.
    Gone,
    /// The server refuses; the node is still the old one.
    Refused(MultiError),
    /// Nobody can tell which of the two there is.
    Settle(ReleaseError),
}

impl Exchange {
    pub(super) fn ask(line: &Line, from: Standing, to: &str) -> Self {
        let multi = line.client().multi();
        let (data, mode) = (line.data(), CreateMode::Ephemeral);
        let multi = match line.acl() {
            Some(acl) => multi.create_with_acl(to, data, mode, acl),
            None => multi.create(to, data, mode),
        };
        // Last, so that the first operation that fails says what the server has against the new
        // node, and this one that there is no old one.
        let op = multi.delete(&from.path, Version::ANY).commit();
        Self { from, to: to.to_owned(), step: Step::Asked(op) }
    }

    /// The old node.
    pub(super) const fn source(&self) -> &Standing {
        &self.from
    }

    /// Waits until it is known which of the two nodes there is, and says which.
    pub(super) async fn finish(&mut self, reach: &Reach) -> Result<Standing, ExchangeError> {
        if let Step::Asked(answer) = &mut self.step {
            let result = (&mut *answer).await;
            self.step = match result {
                Ok(results) => match self.created(&results) {
                    Some(standing) => return Ok(standing),
                    None => Step::Unknown,
                },
                Err(error) if error.outcome() == Outcome::Unknown => Step::Unknown,
                Err(error) => Step::Refused(error),
            };
        }
        match &self.step {
            Step::Refused(MultiError::Failed { code: ErrorCode::NoNode, .. }) => {
                Err(ExchangeError::Gone)
            }
            // Worth another attempt from the old node.
            Step::Refused(error) if is_worth_another(error) => Ok(self.from.clone()),
            Step::Refused(error) => Err(ExchangeError::Refused(error.clone())),
            Step::Asked(_) | Step::Unknown => self.settle(reach).await,
        }
    }

    fn created(&self, results: &[MultiResult]) -> Option<Standing> {
        let Some(MultiResult::Created { path, stat: Some(stat) }) = results.first() else {
            return None;
        };
        let token = self.from.token;
        Some(Standing { path: path.clone(), czxid: stat.czxid, token })
    }

    /// As for a lost create: after the sync the connected server knows whether it happened.
    async fn settle(&self, reach: &Reach) -> Result<Standing, ExchangeError> {
        let Some(client) = reach.client() else {
            return Err(ExchangeError::Gone);
        };
        let (synced, stat) = (client.sync(&self.to), client.exists(&self.to));
        drop(client);
        synced.await.map_err(|error| ExchangeError::Settle(error.into()))?;
        match stat.await.map_err(|error| ExchangeError::Settle(error.into()))? {
            Some(stat) if Some(stat.ephemeral_owner) == reach.session() => {
                let (path, token) = (self.to.clone(), self.from.token);
                Ok(Standing { path, czxid: stat.czxid, token })
            }
            _ => Ok(self.from.clone()),
        }
    }
}

impl ExchangeError {
    /// Whether trying again can help.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Settle(error) => error.is_passing(),
            Self::Gone | Self::Refused(_) => false,
        }
    }
}

/// Whether a transaction was refused for a reason that passes.
fn is_worth_another(error: &MultiError) -> bool {
    match error {
        MultiError::Failed { code, .. } => *code == ErrorCode::NotReadOnly,
        MultiError::Request(RequestError::Refused(ErrorCode::NotReadOnly)) => true,
        MultiError::Request(_) | _ => is_passing(error),
    }
}
