/** docs/peers-defects.md against the tests it speaks of: each test has a row, and each row its test. */
import { readFileSync } from 'node:fs';

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), 'utf8');

test('each story has a row in docs/peers-defects.md, and each row its story', () => {
  const page = read('../../../../docs/peers-defects.md');
  const cells = page.split('## Shown elsewhere')[0]?.matchAll(/^\| (?!---|Defect|Pain)(.+?) \| (.+) \|$/gm) ?? [];
  const rows = [...cells].map(([, defect, story]) => ({ defect, story }));
  const told = ['aws', 'terway', 'cilium'].flatMap((peer) =>
    [...read(`./${peer}.test.ts`).matchAll(/^test(?:\.failing)?\(\s*'(.+?)',\s*\(/gm)].map(([, title]) => title),
  );
  const pains = [...read('./users.test.ts').matchAll(/^ {2}test(?:\.each\(\w+\))?\(\s*'(.+?)',\s*\(/gm)];
  const titles = rows.map(({ defect, story }) => (/^\d+:/.test(defect ?? '') ? story : `${defect}: ${story}`));
  expect(titles.toSorted()).toEqual([...told, ...pains.map(([, title]) => title)].toSorted());
});
