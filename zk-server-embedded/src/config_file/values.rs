//! Values as numbers, switches and lists, with errors that say what was expected.

use std::str::FromStr;

use zk_server_core::config::Share;

use super::{ConfigError, Setting};

/// A value with its key and place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) setting: &'a Setting,
}

impl<'a> Value<'a> {
    pub(super) const fn new(setting: &'a Setting) -> Self {
        Self { setting }
    }

    pub(super) const fn text(self) -> &'a str {
        self.setting.value.as_str()
    }

    /// A number within the bounds of its type.
    pub(super) fn number<T: FromStr>(self, expected: &str) -> Result<T, ConfigError> {
        self.text().parse().map_err(|_| self.unexpected(expected))
    }

    /// A number that is at least `least`.
    pub(super) fn at_least<T: Copy + FromStr + PartialOrd>(
        self,
        least: T,
        expected: &str,
    ) -> Result<T, ConfigError> {
        let number: T = self.number(expected)?;
        if number < least { Err(self.unexpected(expected)) } else { Ok(number) }
    }

    /// A share between nothing and all of something, as a decimal.
    pub(super) fn share(self) -> Result<Share, ConfigError> {
        const EXPECTED: &str = "a number from 0 to 1";
        let number: f64 = self.number(EXPECTED)?;
        if !(0.0..=1.0).contains(&number) {
            return Err(self.unexpected(EXPECTED));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between zero and a billion"
        )]
        let billionths = (number * 1e9).round() as u32;
        Ok(Share::of_billion(billionths))
    }

    /// A switch, in either of the spellings Apache uses.
    pub(super) fn switch(self) -> Result<bool, ConfigError> {
        let text = self.text();
        if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("yes") {
            Ok(true)
        } else if text.eq_ignore_ascii_case("false") || text.eq_ignore_ascii_case("no") {
            Ok(false)
        } else {
            Err(self.unexpected("true or false"))
        }
    }

    /// A list with commas.
    pub(super) fn list(self) -> Vec<String> {
        let items = self.text().split(',').map(str::trim);
        items.filter(|item| !item.is_empty()).map(Into::into).collect()
    }

    pub(super) fn unexpected(self, expected: &str) -> ConfigError {
        let found = self.text().escape_debug();
        super::error(self.setting, &format!("expected {expected}, found \"{found}\""))
    }
}
