//! Holds no code: the tests of the workspace live in `tests/`.
