//! Bad input, each row of the list of bad input by its number.
