/**
 * Whether two plain values have the same JSON text, found without making it: most changes of a row leave its durable
 * columns untouched, and those are shared. A column that is undefined has no text.
 */
export function sameText(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const left = a as Readonly<Record<string, unknown>>;
  const right = b as Readonly<Record<string, unknown>>;
  const names = Object.keys(left);
  const others = Object.keys(right);
  let at = 0;
  for (const name of names) {
    const value = left[name];
    if (value === undefined) continue;
    while (at < others.length && right[others[at] as string] === undefined) at++;
    const other = others[at++];
    if (other !== name || !sameText(value, right[name])) return false;
  }
  while (at < others.length && right[others[at] as string] === undefined) at++;
  return at === others.length;
}
