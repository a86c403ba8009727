//! autodiff-runtime
