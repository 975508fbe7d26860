//! Instruction-set tokens, the one dispatch point and vector mathematics of Ocelli.
