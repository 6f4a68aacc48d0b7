//! Numbers that many change.

use std::ops::Range;

use zk_client::{Acl, Client, Outcome, PathError, ZnodePath};

use super::{
    changes::Numbers,
    value::{SharedValue, SharedValueBuilder, ValueError},
};

/// A number that many read, change and watch.
///
/// It shares its node with Curator's `DistributedAtomicLong`, `DistributedAtomicInteger` and
/// `SharedCount`, and with kazoo's `Counter`, as its [`CounterLayout`] says. A node that is missing
/// or empty counts as 0.
///
/// # What it promises
/// Every change happens exactly once or not at all, even when the connection breaks; see
/// [`SharedValue`]. When the session ends in that moment, the outcome may be unknown, and says so:
/// it is never tried again on suspicion.
///
/// # Examples
/// ```no_run
/// # async fn example(zk: zk_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use zk_recipes::Counter;
///
/// let visits = Counter::new(&zk, "/app/visits")?;
/// println!("visit {}", visits.add(1).await?);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Counter {
    value: SharedValue,
    layout: CounterLayout,
}

/// How a number is written.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum CounterLayout {
    /// Eight bytes, the largest first: Curator's `DistributedAtomicLong`.
    #[default]
    Long,
    /// Four bytes, the largest first: Curator's `DistributedAtomicInteger` and `SharedCount`, and
    /// kazoo's `Counter` with `support_curator`.
    Integer,
    /// Decimal text: kazoo's `Counter`, whole numbers only.
    Text,
}

/// Collects what a counter needs to know; see [`Counter::builder`].
#[derive(Clone, Debug)]
#[must_use = "nothing happens before build"]
pub struct CounterBuilder {
    value: SharedValueBuilder,
    layout: CounterLayout,
}

/// Why a [`Counter`] could not be read or changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CounterError {
    /// The node could not be read or changed.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The node does not hold a number of this layout.
    #[error("no number of this layout in {bytes} bytes")]
    Malformed {
        /// How many bytes it holds.
        bytes: usize,
    },
    /// The result would be too large or too small for the layout; nothing was changed.
    #[error("out of range")]
    OutOfRange,
}

impl CounterError {
    /// What is known: the change did not happen, or nobody knows.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Value(error) => error.outcome(),
            Self::Malformed { .. } | Self::OutOfRange => Outcome::Rejected,
        }
    }
}

impl Counter {
    /// The counter at a path, with all defaults. Nothing happens before it is read or changed.
    ///
    /// # Errors
    /// [`PathError`] when the path is not a legal one.
    pub fn new(client: &Client, path: &str) -> Result<Self, PathError> {
        Self::builder(client, path).build()
    }

    /// Collects what a counter needs to know.
    pub fn builder(client: &Client, path: &str) -> CounterBuilder {
        let value = SharedValue::builder(client, path);
        CounterBuilder { value, layout: CounterLayout::default() }
    }

    /// The number that the ensemble has at this moment.
    ///
    /// # Errors
    /// [`CounterError`].
    ///
    /// # Cancel safety
    /// May be dropped at any moment.
    pub async fn get(&self) -> Result<i64, CounterError> {
        let value = self.value.get().await?;
        self.layout.decode(value.as_ref().map(|value| &value.data[..]))
    }

    /// Adds to the number. Answers the sum.
    ///
    /// # Errors
    /// [`CounterError`]; its outcome says whether nothing was added for certain.
    ///
    /// # Cancel safety
    /// Once polled it may happen, whatever becomes of the future.
    pub async fn add(&self, delta: i64) -> Result<i64, CounterError> {
        let layout = self.layout;
        let change = |seen: Option<&[u8]>| {
            let sum = layout.decode(seen)?.checked_add(delta).ok_or(CounterError::OutOfRange)?;
            layout.encode(sum)
        };
        let data = self.value.try_update(change).await?;
        layout.decode(Some(&data))
    }

    /// Takes so many numbers, which nobody else gets: the ones from the number as it was.
    ///
    /// # Errors
    /// [`CounterError`]; when its outcome is unknown, nobody may get these numbers.
    ///
    /// # Cancel safety
    /// Once polled it may happen, whatever becomes of the future; the numbers are lost then.
    // Curator: CachedAtomicLong
    pub async fn reserve(&self, count: u32) -> Result<Range<i64>, CounterError> {
        let end = self.add(count.into()).await?;
        Ok(end - i64::from(count)..end)
    }

    /// Sets the number if it is the one expected; says whether it did.
    ///
    /// # Errors
    /// [`CounterError`]; its outcome says whether nothing was set for certain.
    ///
    /// # Cancel safety
    /// Once polled it may happen, whatever becomes of the future.
    pub async fn compare_and_set(&self, expected: i64, new: i64) -> Result<bool, CounterError> {
        let data = self.layout.encode(new)?;
        loop {
            let seen = self.value.get().await?;
            let number = self.layout.decode(seen.as_ref().map(|value| &value.data[..]))?;
            if number != expected {
                return Ok(false);
            }
            // Somebody may have changed it to the same number: only a look tells.
            if self.value.try_set(seen.as_ref(), &data).await? {
                return Ok(true);
            }
        }
    }

    /// Sets the number, whatever it was.
    ///
    /// # Errors
    /// [`CounterError`]; its outcome says whether nothing was set for certain.
    ///
    /// # Cancel safety
    /// Once polled it may happen, whatever becomes of the future.
    pub async fn set(&self, number: i64) -> Result<(), CounterError> {
        let data = self.layout.encode(number)?;
        Ok(self.value.set(&data).await?)
    }

    /// Makes the node with this number unless there is one; says whether it did.
    ///
    /// # Errors
    /// [`CounterError`].
    ///
    /// # Cancel safety
    /// Once polled it may happen, whatever becomes of the future.
    pub async fn seed(&self, number: i64) -> Result<bool, CounterError> {
        let data = self.layout.encode(number)?;
        Ok(self.value.seed(&data).await?)
    }

    /// The number now, and then each time it has changed. A stream; a slow reader skips numbers in
    /// between, and never sees an older one after a newer one.
    pub fn changes(&self) -> Numbers {
        Numbers::new(self.value.changes(), self.layout)
    }

    /// The counter's path.
    pub const fn path(&self) -> &ZnodePath {
        self.value.path()
    }
}

impl CounterBuilder {
    /// How the number is written; [`CounterLayout::Long`] unless set.
    pub const fn layout(mut self, layout: CounterLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Where changes leave their markers; see [`SharedValueBuilder::markers`].
    pub fn markers(mut self, path: impl Into<String>) -> Self {
        self.value = self.value.markers(path);
        self
    }

    /// No markers; see [`SharedValueBuilder::without_markers`].
    pub fn without_markers(mut self) -> Self {
        self.value = self.value.without_markers();
        self
    }

    /// Who may do what to the node, and to the parents that we create; everybody everything unless
    /// set.
    pub fn acl(mut self, acl: Vec<Acl>) -> Self {
        self.value = self.value.acl(acl);
        self
    }

    /// The counter.
    ///
    /// # Errors
    /// [`PathError`] when a path is not a legal one.
    pub fn build(self) -> Result<Counter, PathError> {
        Ok(Counter { value: self.value.build()?, layout: self.layout })
    }
}

impl CounterLayout {
    /// No node and no data are 0, as they are for Curator and kazoo.
    pub(super) fn decode(self, data: Option<&[u8]>) -> Result<i64, CounterError> {
        let data = data.unwrap_or_default();
        if data.is_empty() {
            return Ok(0);
        }
        let number = match self {
            Self::Long => data.try_into().ok().map(i64::from_be_bytes),
            Self::Integer => data.try_into().ok().map(|data| i32::from_be_bytes(data).into()),
            Self::Text => std::str::from_utf8(data).ok().and_then(|text| text.trim().parse().ok()),
        };
        number.ok_or(CounterError::Malformed { bytes: data.len() })
    }

    fn encode(self, number: i64) -> Result<Vec<u8>, CounterError> {
        Ok(match self {
            Self::Long => number.to_be_bytes().to_vec(),
            Self::Integer => {
                let number = i32::try_from(number).map_err(|_| CounterError::OutOfRange)?;
                number.to_be_bytes().to_vec()
            }
            Self::Text => number.to_string().into_bytes(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_curator_and_kazoo_write_them() {
        let bytes = |layout: CounterLayout, number| layout.encode(number).expect("in range");
        assert_eq!(bytes(CounterLayout::Long, -2), [255, 255, 255, 255, 255, 255, 255, 254]);
        assert_eq!(bytes(CounterLayout::Integer, 258), [0, 0, 1, 2]);
        assert_eq!(bytes(CounterLayout::Text, -5), b"-5");
        let large = CounterLayout::Integer.encode(1 << 31);
        assert_eq!(large, Err(CounterError::OutOfRange));
    }

    #[test]
    fn what_is_no_number_of_the_layout_is_refused() {
        for (layout, data) in [
            (CounterLayout::Long, &b"1234"[..]),
            (CounterLayout::Integer, b"12345678"),
            (CounterLayout::Text, b"1.5"),
            (CounterLayout::Text, b"\xff"),
        ] {
            let bytes = data.len();
            assert_eq!(layout.decode(Some(data)), Err(CounterError::Malformed { bytes }));
            assert_eq!(layout.decode(Some(b"")), Ok(0));
            assert_eq!(layout.decode(None), Ok(0));
        }
        assert_eq!(CounterLayout::Text.decode(Some(b"12\n")), Ok(12));
    }
}
