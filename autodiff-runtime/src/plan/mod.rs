//! From graph to plan.
