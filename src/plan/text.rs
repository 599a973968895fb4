//! A whole plan in words.

use super::Plan;
use super::describe::Description;
use ufmt::{uWrite, uwrite};

impl Plan<'_> {
    /// Writes both lists, one numbered sentence a line.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write<W: uWrite + ?Sized>(&self, out: &mut W) -> Result<(), W::Error> {
        out.write_str("On the host:\n")?;
        let steps = self.host.iter().map(super::HostStep::describe);
        steps.enumerate().try_for_each(|(place, step)| write_line(place, &step, out))?;
        out.write_str("In the child, meanwhile:\n")?;
        let steps = self.child.iter().map(super::Step::describe);
        steps.enumerate().try_for_each(|(place, step)| write_line(place, &step, out))
    }
}

fn write_line<W: uWrite + ?Sized>(place: usize, step: &Description<'_>, out: &mut W) -> Result<(), W::Error> {
    let number = place.saturating_add(1);
    let indent = if number < 10 {
        "   "
    } else if number < 100 {
        "  "
    } else {
        " "
    };
    uwrite!(out, "{}{}. ", indent, number)?;
    step.write(out)?;
    out.write_str("\n")
}
