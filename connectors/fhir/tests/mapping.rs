//! fixtures (to be written)
