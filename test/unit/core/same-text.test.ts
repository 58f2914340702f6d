/** Two values are the same where their JSON text is: the journal writes a row again only when its text changed. */
import { sameText } from '../../../src/core/same-text.ts';

const VALUES: readonly unknown[] = [
  undefined,
  null,
  0,
  '0',
  [],
  {},
  { a: 1 },
  { a: 1, b: undefined },
  { b: undefined, a: 1 },
  { a: 1, b: 2 },
  { b: 2, a: 1 },
  { a: undefined, b: 2 },
  { a: { c: [1, 2] } },
  { a: { c: [1, 2], d: undefined } },
  { a: { c: [1] } },
  [1],
  [1, 2],
  ['1'],
];

test('as JSON.stringify says, for every pair', () => {
  for (const a of VALUES)
    for (const b of VALUES)
      expect({ a, b, same: sameText(a, structuredClone(b)) }).toEqual({
        a,
        b,
        same: JSON.stringify(a) === JSON.stringify(b),
      });
});
