/** Displays of X servers that a test starts. */

/**
 * A display that no other server on the machine is likely to have. By itself a server takes the first
 * that is free in its own /tmp, but abstract sockets are those of everybody in its network namespace.
 */
export const unusedDisplay = () => `:${10_000 + Math.floor(Math.random() * 50_000)}`;
