/** What `underway why` says of a pod and of a pool, from the facts alone. */
import { linesOf } from '../../../src/daemon/why-words.ts';

test('a pod whose families are on two ENIs: each address with its own', () => {
  const facts = { status: 'has-address', who: 'shop/a', agoMs: 1_000 } as const;
  const said = (addresses: string[], enis: string[]) => linesOf({ ...facts, addresses, enis }, 0)[0];
  expect(said(['10.0.1.5', 'fd00::5'], ['eni-1', 'eni-2'])).toContain('10.0.1.5 on eni-1 and fd00::5 on eni-2 since');
  expect(said(['10.0.1.5', 'fd00::5'], ['eni-1', 'eni-1'])).toContain('10.0.1.5 and fd00::5 on eni-1 since');
});
