/** What the executables share: the command line, the log, exit codes. */

export { parseBoolean } from "./boolean.ts";
export * as colours from "./colours.ts";
export { say } from "./colours.ts";
export { columns } from "./columns.ts";
export { confine, rulesOf } from "./confine.ts";
export { asScript, findExecutable } from "./executable.ts";
export { type GetoptOption, getopt, OptionError } from "./getopt.ts";
export { FEW_LINES, type Limit, LimitedLog, logFailures, RateLimiter, traceOf } from "./limit.ts";
export { createLogger, type Level, type Logger, visible } from "./log.ts";
export { parseBigInteger, parseInteger } from "./number.ts";
export { restoreOpenFilesLimit } from "./open-files.ts";
export { type Outcome, onOutsideEnded, outsideFor } from "./outside.ts";
export { announceReady, readyDescriptor, readyFdOption } from "./ready.ts";
export { Failure, PASSED_ON, run, UsageFailure } from "./run.ts";
export { settle } from "./settle.ts";
export { DEFAULT_SYSLOG, syslogSink } from "./syslog.ts";
export { NEVER, parseTimeSpan } from "./time-span.ts";
export { version } from "./version.ts";
