//! Networks of Ocelli described as graphs: tracing, differentiation, memory plan, execution.
