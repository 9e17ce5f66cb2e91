//! Sizes of a model as its checkpoint tells them.

use stentor_nn::{NnError, Result, Scope};

/// The shape of a tensor of `N` dimensions; an error that names it where there is none, or one of another rank.
pub(super) fn shape<const N: usize>(scope: &Scope<'_>, name: &str) -> Result<[usize; N]> {
    let found = scope.shape(name).unwrap_or_default();
    <[usize; N]>::try_from(found).map_err(|_| refused(scope, name, &[0; N]))
}

/// The error of asking for a tensor of a shape that it does not have.
pub(super) fn refused(scope: &Scope<'_>, name: &str, expected: &[usize]) -> NnError {
    let not_there = || NnError::Format { origin: name.to_owned(), message: "has no usable shape".to_owned() };
    scope.values(name, expected).err().unwrap_or_else(not_there)
}
