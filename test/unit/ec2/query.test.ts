import { parseQuery } from '../../../src/lab/ec2/query.ts';

const paths = (encoded: string): string[] => {
  const found: string[] = [];
  const walk = (node: ReturnType<typeof parseQuery>, path: string) => {
    if (node.text !== undefined) found.push(`${path}=${node.text}`);
    for (const [name, child] of node.children) walk(child, path === '' ? name : `${path}.${name}`);
  };
  walk(parseQuery(encoded), '');
  return found;
};

test('names become a tree, encodings are undone', () => {
  expect(paths('Action=A&Filter.1.Name=tag%3Aa+b&Filter.1.Value.2=%26&Filter.1.Value.1=%E2%82%AC&x')).toEqual([
    'Action=A',
    'Filter.1.Name=tag:a b',
    'Filter.1.Value.2=&',
    'Filter.1.Value.1=€',
    'x=',
  ]);
});

test('a parameter given twice counts as its last', () => {
  expect(paths('a=1&a=2')).toEqual(['a=2']);
});

test.each(['a..b=1', '.a=1', 'a.=1', 'a.b.c.d.e.f.g.h.i=1', '__proto__..x=1'])('%s is refused', (encoded) => {
  expect(() => parseQuery(encoded)).toThrow(/not recognized/);
});

test('names that objects have are only names', () => {
  expect(paths('__proto__.polluted=1&constructor=2')).toEqual(['__proto__.polluted=1', 'constructor=2']);
  expect(({} as { polluted?: string }).polluted).toBeUndefined();
});
