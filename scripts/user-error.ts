/** An error that is for the person at the terminal: one line, no stack. */
export class UserError extends Error {
  override name = "UserError";
}
