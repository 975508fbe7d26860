//! Layers of Ocelli: convolution, pooling, dense, residual, initialisers.
