/**
 * Whether the kernel holds an object as wanted. What a plan leaves out and what a read shows as false are the same.
 */
import type { KernelObject } from './kernel-state.ts';

/** Both have the same identity (`objectIdentity`); true when nothing has to be done. */
export function sameObject(wanted: KernelObject, actual: KernelObject): boolean {
  // A rule is all identity; its protocol alone cannot be changed, and adding it again is EEXIST.
  if (wanted.kind === 'rule') return true;
  // IPv6 shows an unreachable route on `lo`, IPv4 on nothing.
  const ignored = wanted.kind === 'route' && wanted.type === 'unreachable' ? 'link' : undefined;
  return sameColumns(wanted, actual, ignored);
}

function sameValue(a: unknown, b: unknown): boolean {
  if ((a ?? false) === (b ?? false)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    return a.length === b.length && a.every((byte, at) => byte === b[at]);
  }
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, at) => sameValue(item, b[at]));
  return sameColumns(a, b);
}

function sameColumns(a: object, b: object, ignored?: string): boolean {
  const left = a as Readonly<Record<string, unknown>>;
  const right = b as Readonly<Record<string, unknown>>;
  let shared = 0;
  for (const key of Object.keys(left)) {
    const other = right[key];
    if (other !== undefined) shared++;
    if (key !== ignored && !sameValue(left[key], other)) return false;
  }
  const keys = Object.keys(right);
  // All that the right has the left has too: the common case.
  if (keys.length === shared) return true;
  return keys.every((key) => key === ignored || key in left || sameValue(undefined, right[key]));
}
