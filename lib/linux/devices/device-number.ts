/** Numbers of devices, and how they are written. */

/** A dev_t of the kernel as `major:minor`; see makedev(3). */
export function majorMinor(device: number): string {
  const bits = BigInt(device);
  const major = ((bits >> 8n) & 0xfffn) | ((bits >> 32n) & ~0xfffn);
  const minor = (bits & 0xffn) | ((bits >> 12n) & ~0xffn & 0xffffff00n);
  return `${major}:${minor}`;
}
