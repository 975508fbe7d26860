//! Gradients as nodes of the same graph: [`crate::differentiate`] as a pass.

use super::Program;
use crate::{Result, Trace, differentiate};

/// Adds the calls that compute the gradients of [`Program::derivative`].
pub(super) fn differentiate(program: &mut Program<'_>) -> Result<()> {
    let Some((scalar, wanted)) = &program.derivative else { return Ok(()) };
    program.first_gradient = program.graph.values.len();
    let trace = Trace::reopen(std::mem::take(&mut program.graph));
    program.gradients = differentiate::differentiate(&trace, *scalar, wanted, &program.rules);
    program.graph = trace.close()?;
    Ok(())
}
