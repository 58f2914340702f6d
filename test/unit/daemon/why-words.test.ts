/** What `underway why` says of a pod and of a pool, from the facts alone. */
import { linesOf } from '../../../src/daemon/why-words.ts';

test('a pod whose families are on two ENIs: each address with its own', () => {
  const facts = { status: 'has-address', who: 'shop/a', ifname: 'eth0', agoMs: 1_000 } as const;
  const said = (addresses: string[], enis: string[]) => linesOf({ ...facts, addresses, enis }, 0)[0];
  expect(said(['10.0.1.5', 'fd00::5'], ['eni-1', 'eni-2'])).toContain('10.0.1.5 on eni-1 and fd00::5 on eni-2 since');
  expect(said(['10.0.1.5', 'fd00::5'], ['eni-1', 'eni-1'])).toContain('10.0.1.5 and fd00::5 on eni-1 since');
});

test('a pool of both families is counted as its targets are, by the family', () => {
  const held = { total: 8, leased: 3, free: 5, cooling: 0, quarantined: 0, coming: 0 };
  const said = (v6: typeof held) => {
    const addresses = [
      { family: 4, ...held },
      { family: 6, ...v6 },
    ] as const;
    const pool = { id: 'default', addresses, eniCount: 1, waiting: 0 };
    const facts = { status: 'pool', serving: true, pools: [pool], subnets: [], underWay: [], refused: [] } as const;
    return linesOf(facts, 0).filter((line) => line.startsWith('pool '));
  };
  expect(said(held)).toEqual([
    'pool default: 8 addresses of each family on 1 ENI: 3 in use, 5 free, 0 cooling; 0 coming',
  ]);
  expect(said({ ...held, total: 9, free: 6 })).toEqual([
    'pool default: IPv4: 8 addresses on 1 ENI: 3 in use, 5 free, 0 cooling; 0 coming',
    'pool default: IPv6: 9 addresses on 1 ENI: 3 in use, 6 free, 0 cooling; 0 coming',
  ]);
});
