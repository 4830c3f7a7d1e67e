/**
 * The one place that calls C. Everything else in lib/linux goes through `libc`,
 * and nothing outside lib/linux knows that it is bun:ffi.
 *
 * One dlopen, made when this module is first loaded, on the main thread: Bun
 * calls its FFI experimental and has crashed on concurrent dlopen from workers.
 *
 * fcntl, ioctl, prctl, open and semctl are variadic in C. The x86-64 calling convention
 * passes integer and pointer arguments of a variadic function as those of any
 * other, so a fixed prototype is right here; a port to another architecture has
 * to look at this first.
 */
import { CString, dlopen, type Pointer, ptr, read, FFIType as T } from "bun:ffi";

const library = dlopen("libc.so.6", {
  __errno_location: { args: [], returns: T.ptr },
  accept4: { args: [T.i32, T.ptr, T.ptr, T.i32], returns: T.i32 },
  bind: { args: [T.i32, T.ptr, T.u32], returns: T.i32 },
  clock_gettime: { args: [T.i32, T.ptr], returns: T.i32 },
  close: { args: [T.i32], returns: T.i32 },
  close_range: { args: [T.u32, T.u32, T.i32], returns: T.i32 },
  connect: { args: [T.i32, T.ptr, T.u32], returns: T.i32 },
  dlsym: { args: [T.u64, T.ptr], returns: T.u64_fast },
  dup2: { args: [T.i32, T.i32], returns: T.i32 },
  epoll_create1: { args: [T.i32], returns: T.i32 },
  epoll_ctl: { args: [T.i32, T.i32, T.i32, T.ptr], returns: T.i32 },
  epoll_wait: { args: [T.i32, T.ptr, T.i32, T.i32], returns: T.i32 },
  eventfd: { args: [T.u32, T.i32], returns: T.i32 },
  execve: { args: [T.ptr, T.ptr, T.ptr], returns: T.i32 },
  fchown: { args: [T.i32, T.u32, T.u32], returns: T.i32 },
  fcntl: { args: [T.i32, T.i32, T.i64], returns: T.i32 },
  fclose: { args: [T.u64], returns: T.i32 },
  fdopen: { args: [T.i32, T.ptr], returns: T.u64_fast },
  getpwnam_r: { args: [T.ptr, T.ptr, T.ptr, T.u64, T.ptr], returns: T.i32 },
  getpwuid_r: { args: [T.u32, T.ptr, T.ptr, T.u64, T.ptr], returns: T.i32 },
  getsockopt: { args: [T.i32, T.i32, T.i32, T.ptr, T.ptr], returns: T.i32 },
  getxattr: { args: [T.ptr, T.ptr, T.ptr, T.u64], returns: T.i64 },
  inotify_add_watch: { args: [T.i32, T.ptr, T.u32], returns: T.i32 },
  inotify_init1: { args: [T.i32], returns: T.i32 },
  inotify_rm_watch: { args: [T.i32, T.i32], returns: T.i32 },
  ioctl: { args: [T.i32, T.u64, T.u64], returns: T.i32 },
  kill: { args: [T.i32, T.i32], returns: T.i32 },
  lchown: { args: [T.ptr, T.u32, T.u32], returns: T.i32 },
  listen: { args: [T.i32, T.i32], returns: T.i32 },
  localtime_r: { args: [T.ptr, T.ptr], returns: T.ptr },
  madvise: { args: [T.u64, T.u64, T.i32], returns: T.i32 },
  mkfifo: { args: [T.ptr, T.u32], returns: T.i32 },
  mktime: { args: [T.ptr], returns: T.i64 },
  mount: { args: [T.ptr, T.ptr, T.ptr, T.u64, T.ptr], returns: T.i32 },
  msgctl: { args: [T.i32, T.i32, T.ptr], returns: T.i32 },
  open: { args: [T.ptr, T.i32, T.u32], returns: T.i32 },
  pipe2: { args: [T.ptr, T.i32], returns: T.i32 },
  poll: { args: [T.ptr, T.u64, T.i32], returns: T.i32 },
  prctl: { args: [T.i32, T.u64, T.u64, T.u64, T.u64], returns: T.i32 },
  prlimit: { args: [T.i32, T.i32, T.ptr, T.ptr], returns: T.i32 },
  pthread_attr_init: { args: [T.ptr], returns: T.i32 },
  pthread_attr_setstacksize: { args: [T.ptr, T.u64], returns: T.i32 },
  pthread_create: { args: [T.ptr, T.ptr, T.u64, T.u64], returns: T.i32 },
  pthread_tryjoin_np: { args: [T.u64, T.ptr], returns: T.i32 },
  read: { args: [T.i32, T.ptr, T.u64], returns: T.i64 },
  reboot: { args: [T.i32], returns: T.i32 },
  recv: { args: [T.i32, T.ptr, T.u64, T.i32], returns: T.i64_fast },
  recvmsg: { args: [T.i32, T.ptr, T.i32], returns: T.i64_fast },
  sched_yield: { args: [], returns: T.i32 },
  semctl: { args: [T.i32, T.i32, T.i32], returns: T.i32 },
  sendmsg: { args: [T.i32, T.ptr, T.i32], returns: T.i64_fast },
  setsockopt: { args: [T.i32, T.i32, T.i32, T.ptr, T.u32], returns: T.i32 },
  setxattr: { args: [T.ptr, T.ptr, T.ptr, T.u64, T.i32], returns: T.i32 },
  setvbuf: { args: [T.u64, T.ptr, T.i32, T.u64], returns: T.i32 },
  shmctl: { args: [T.i32, T.i32, T.ptr], returns: T.i32 },
  signal: { args: [T.i32, T.ptr], returns: T.ptr },
  socket: { args: [T.i32, T.i32, T.i32], returns: T.i32 },
  socketpair: { args: [T.i32, T.i32, T.i32, T.ptr], returns: T.i32 },
  statx: { args: [T.i32, T.ptr, T.i32, T.u32, T.ptr], returns: T.i32 },
  strerror: { args: [T.i32], returns: T.u64_fast },
  sync: { args: [], returns: T.void },
  syscall: { args: [T.i64, T.i64, T.i64, T.i64, T.i64, T.i64], returns: T.i64 },
  timerfd_create: { args: [T.i32, T.i32], returns: T.i32 },
  timerfd_settime: { args: [T.i32, T.i32, T.ptr, T.ptr], returns: T.i32 },
  umount2: { args: [T.ptr, T.i32], returns: T.i32 },
});

/** libc's functions, untyped beyond their C types. Only lib/linux may use it. */
export const libc = library.symbols;

const errnoLocation = libc.__errno_location() as Pointer;

/** The errno of the last failed call on this thread; read it before any other call. */
export function lastErrno(): number {
  return read.i32(errnoLocation, 0);
}

const WORD_HALF = 2 ** 32;

/**
 * A block of memory that C may write to, with the views that fill and read it.
 * It is backed by an ArrayBuffer of its own, so its address never changes.
 */
export class Memory {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView;
  readonly address: number;

  constructor(size: number) {
    this.bytes = new Uint8Array(new ArrayBuffer(size));
    this.view = new DataView(this.bytes.buffer);
    this.address = addressOf(this.bytes);
  }

  /** Writes a pointer (or size_t) of the machine's width at `offset`. */
  setWord(offset: number, value: number): void {
    // Two halves, since a BigInt would be an allocation.
    this.view.setUint32(offset, value % WORD_HALF, true);
    this.view.setUint32(offset + 4, value / WORD_HALF, true);
  }

  /** Reads a pointer (or size_t) of the machine's width at `offset`. */
  getWord(offset: number): number {
    return this.view.getUint32(offset, true) + this.view.getUint32(offset + 4, true) * WORD_HALF;
  }
}

/** Where the bytes of a non-empty array are, for a C structure that points to them. */
export function addressOf(bytes: Uint8Array): number {
  return Number(ptr(bytes));
}

/**
 * A NUL-terminated copy of `text` for C.
 *
 * @throws {TypeError} if the text has a NUL inside, which C would cut it at
 */
export function cString(text: string): Uint8Array {
  if (text.includes("\0")) throw new TypeError(`${JSON.stringify(text)} has a NUL character in it`);
  return Buffer.from(`${text}\0`, "utf8");
}

/** The NUL-terminated string at an address that C returned; "" for a null pointer. */
export function stringAt(address: number): string {
  return address === 0 ? "" : new CString(address as Pointer).toString();
}
