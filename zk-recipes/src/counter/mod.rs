//! Values and numbers that many change.

mod cell;
mod changes;
mod number;
mod value;

pub use self::{
    changes::{Numbers, Values},
    number::{Counter, CounterBuilder, CounterError, CounterLayout},
    value::{SharedValue, SharedValueBuilder, Value, ValueError},
};
