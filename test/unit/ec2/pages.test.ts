import { Pages } from '../../../src/lab/ec2/pages.ts';

const rows = (...keys: string[]) => keys.map((key) => ({ key, content: key }));
const keys = (page: { readonly rows: readonly { readonly key: string }[] }) => page.rows.map(({ key }) => key).join('');

test('pages follow each other to the end', () => {
  const pages = new Pages();
  const all = rows('c', 'a', 'e', 'b', 'd');
  const first = pages.cut(all, { scope: 's', max: 2 });
  const second = pages.cut(all, { scope: 's', max: 2, token: first.nextToken });
  const third = pages.cut(all, { scope: 's', max: 2, token: second.nextToken });
  expect([keys(first), keys(second), keys(third)]).toEqual(['ab', 'cd', 'e']);
  expect(third.nextToken).toBeUndefined();
  expect(pages.cut(all, { scope: 's', max: 5 }).nextToken).toBeUndefined();
});

test('a row that came or went meanwhile neither repeats nor hides another', () => {
  const pages = new Pages();
  const { nextToken } = pages.cut(rows('a', 'b', 'c'), { scope: 's', max: 2 });
  expect(keys(pages.cut(rows('a', 'c', 'd'), { scope: 's', max: 2, token: nextToken }))).toBe('cd');
});

test('a token is good for its own request only', () => {
  const pages = new Pages();
  const { nextToken = '' } = pages.cut(rows('a', 'b'), { scope: 's', max: 1 });
  const again = (token: string, scope: string) => () => pages.cut(rows('a', 'b'), { scope, max: 1, token });
  expect(again(nextToken, 's')).not.toThrow();
  expect(again(nextToken, 'other')).toThrow(/token is not valid/);
  for (const forged of ['', 'x', `${nextToken}A`, nextToken.slice(1), Buffer.from('b').toString('base64url')])
    expect(again(forged, 's')).toThrow(/token is not valid/);
  expect(() => new Pages().cut([], { scope: 's', max: 1, token: nextToken })).toThrow(/token is not valid/);
});
