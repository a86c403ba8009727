//! The graph as a dfdx computation, differentiated by its tape: the independent oracle.
