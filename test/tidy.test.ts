/**
 * Rules that a person would forget: which folder may import what (design section 3), names, calls that would make the
 * core depend on more than its arguments, file and function sizes, and docs against code.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { REASON_CODES, type ReasonCode } from '../src/core/reasons.ts';
import { REASON_CODE } from '../src/protocol/error.ts';
import { MUTATIONS } from '../src/sim/mutations/mutations.ts';

const ROOT = resolve(import.meta.dirname, '..');

interface Source {
  /** From the repository's root, such as `src/core/ip.ts`. */
  readonly path: string;
  readonly text: string;
}

const sources: readonly Source[] = ['src', 'providers', 'deploy']
  .flatMap((folder) => readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true }))
  .filter((entry) => entry.isFile() && /\.(ts|c|h)$/.test(entry.name))
  .map((entry) => join(entry.parentPath, entry.name))
  .map((path) => ({ path: relative(ROOT, path), text: readFileSync(path, 'utf8') }));

const code = sources.filter(({ path }) => path.endsWith('.ts'));

/** What each folder may import: folders of ours, packages, `node:*`; `types` after a folder allows only `import type`. */
const TABLE: Readonly<Record<string, readonly string[]>> = {
  'src/core': [],
  'src/datapath': ['src/core'],
  'src/ports': ['src/core', 'src/datapath types'],
  'src/driver': ['src/core', 'src/datapath', 'src/ports'],
  'src/protocol': ['src/core', 'zod'],
  'src/cloud': ['src/core', 'src/ports', 'p-queue'],
  'src/kernel': ['src/core', 'src/datapath', 'src/ports', 'koffi', 'node:'],
  'src/install': ['node:'],
  'src/kube': ['src/core', 'src/ports', '@kubernetes/client-node/dist/config.js', 'node:'],
  'src/daemon': [
    'src/core',
    'src/install',
    'src/datapath',
    'src/ports',
    'src/driver',
    'src/protocol',
    'src/cloud',
    'pino',
    'prom-client',
    'zod',
    'node:',
  ],
  'src/program': ['node:'],
  'src/sim': [
    'src/core',
    'src/datapath',
    'src/ports',
    'src/driver',
    'src/cloud',
    'src/program',
    'providers/memory',
    'node:',
  ],
  'src/lab': [
    'src/core',
    'src/ports',
    'src/kernel',
    'src/datapath types',
    'src/program',
    'src/install',
    'providers/memory',
    'koffi',
    'node:',
  ],
  'src/cli': [
    'src/core',
    'src/protocol',
    'src/program',
    'src/install',
    'src/sim',
    'src/lab',
    'src/kube',
    'providers/index.ts',
    'node:',
  ],
  'providers/memory': ['src/core', 'src/ports'],
  'providers/aws': ['src/core', 'src/ports', '@aws-sdk/', '@smithy/', 'node:'],
  providers: ['src/core', 'src/ports', 'providers/aws', 'providers/memory'],
  deploy: ['esbuild', 'node:', 'deploy'],
};
/** Entry points that put the parts together. */
const ENTRY: Readonly<Record<string, readonly string[]>> = {
  'src/daemon/main.ts': ['src/kernel', 'src/kube', 'src/policy', 'providers/index.ts'],
};

const folderOf = (path: string): string =>
  Object.keys(TABLE)
    .filter((folder) => path.startsWith(`${folder}/`))
    .sort((a, b) => b.length - a.length)[0] ?? path;

interface Import {
  readonly from: string;
  readonly typeOnly: boolean;
}

function importsOf({ path, text }: Source): Import[] {
  const found = [
    ...text.matchAll(/^\s*(?:import|export)\s+(type\s)?[^'"]*?from\s+'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gms),
  ];
  return found.map(([, type, from, dynamic]) => {
    const target = from ?? dynamic ?? '';
    const resolved = target.startsWith('.') ? relative(ROOT, resolve(ROOT, path, '..', target)) : target;
    return { from: resolved, typeOnly: type !== undefined };
  });
}

test('imports follow the table of design section 3', () => {
  const wrong = code.flatMap((source) => {
    const folder = folderOf(source.path);
    const allowed = [...(TABLE[folder] ?? []), ...(ENTRY[source.path] ?? [])];
    return importsOf(source)
      .filter(
        ({ from, typeOnly }) => folderOf(from) !== folder && !allowed.some((rule) => permits(rule, from, typeOnly)),
      )
      .map(({ from }) => `${source.path} imports ${from}`);
  });
  expect(wrong).toEqual([]);
});

function permits(rule: string, from: string, typeOnly: boolean): boolean {
  const [place = '', types] = rule.split(' ');
  if (types !== undefined && !typeOnly) return false;
  return from === place || from.startsWith(place.endsWith(':') || place.endsWith('/') ? place : `${place}/`);
}

test('no folder imports itself in a circle of modules that run code at load time', () => {
  // Function-level cycles inside core are fine (rows change together); a folder must not be in a cycle with another.
  const edges = new Map<string, Set<string>>();
  for (const source of code) {
    const from = folderOf(source.path);
    for (const { from: target, typeOnly } of importsOf(source)) {
      const to = folderOf(target);
      if (!typeOnly && to !== from && TABLE[to] !== undefined) edges.set(from, (edges.get(from) ?? new Set()).add(to));
    }
  }
  const reach = (start: string, goal: string, seen = new Set<string>()): boolean =>
    [...(edges.get(start) ?? [])].some(
      (next) => next === goal || (!seen.has(next) && reach(next, goal, seen.add(next))),
    );
  expect([...edges.keys()].filter((folder) => reach(folder, folder))).toEqual([]);
});

test('files are named by a noun, in kebab case', () => {
  const bad = sources.filter(({ path }) => {
    const name = path.split('/').at(-1) ?? '';
    return (
      !/^[a-z0-9]+(-[a-z0-9]+)*\.(ts|c|h)$/.test(name) ||
      /(^|[-_])(utils?|helpers?|managers?|common|misc|v2)([-.]|$)/.test(name)
    );
  });
  expect(bad.map(({ path }) => path)).toEqual([]);
});

const PURE = ['src/core/', 'src/datapath/', 'src/driver/', 'src/cloud/', 'src/protocol/', 'providers/memory/'];
const BANNED = [
  /\bDate\b/,
  /\bperformance\b/,
  /\bsetTimeout\b/,
  /\bsetInterval\b/,
  /AbortSignal\.timeout/,
  /randomUUID/,
  /Math\.random/,
  /localeCompare/,
  /process\.hrtime/,
];

test('nothing that decides reads a clock, a die or a locale', () => {
  const found = code
    .filter(({ path }) => PURE.some((folder) => path.startsWith(folder)))
    .flatMap(({ path, text }) =>
      BANNED.filter((banned) => banned.test(withoutComments(text))).map((banned) => `${path}: ${banned.source}`),
    );
  expect(found).toEqual([]);
});

const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\/\/.*$/gm, '');

test('no suppressions, no leftovers', () => {
  const found = code.flatMap(({ path, text }) =>
    ['@ts-ignore', '@ts-expect-error', 'biome-ignore', 'TODO', 'FIXME', ': any;', ': any)', ' as any', '<any>']
      .filter((mark) => text.includes(mark))
      .map((mark) => `${path}: ${mark}`),
  );
  expect(found).toEqual([]);
});

/** Files over the size, each with the reason why it is one piece. */
const LARGE: Readonly<Record<string, string>> = {};

test('files stay under 400 lines, functions under 70', () => {
  const large = sources
    .filter(({ path, text }) => text.split('\n').length > 400 && LARGE[path] === undefined)
    .map(({ path }) => path);
  const long = code.flatMap(({ path, text }) => longFunctions(text).map((name) => `${path}: ${name}`));
  if (long.length > 0) console.warn(`functions over 70 lines, look again: ${long.join(', ')}`);
  expect(large).toEqual([]);
});

/** Functions by their indentation: from a line that opens one to the line that closes it at the same depth. */
function longFunctions(text: string): string[] {
  const lines = text.split('\n');
  return lines.flatMap((line, at) => {
    const name =
      /^(\s*)(?:export )?(?:async )?function (\w+)/.exec(line) ??
      /^(\s{2})(?:private |async |static )*(\w+)\([^)]*\)[^{;]*\{$/.exec(line);
    if (name === null) return [];
    const end = lines.findIndex((other, index) => index > at && other === `${name[1]}}`);
    return end - at > 70 ? [`${name[2]} (${end - at} lines)`] : [];
  });
}

test('docs/errors.md has a section for each reason code, and no other', () => {
  const sections = [...readFileSync(join(ROOT, 'docs/errors.md'), 'utf8').matchAll(/^## `?([A-Z_]+)`?/gm)].map(
    ([, name]) => name,
  );
  expect(sections.sort()).toEqual([...REASON_CODES].sort());
});

test('docs/errors.md gives each reason the code that it has, in its section and in the table', () => {
  const page = readFileSync(join(ROOT, 'docs/errors.md'), 'utf8');
  const listed = [...page.matchAll(/^\| (\d+) +\| (.*)$/gm)].flatMap(([, code, reasons = '']) =>
    [...reasons.matchAll(/\[([A-Z_]+)\]/g)].map(([, name]) => [name, Number(code)]),
  );
  // What is told in the log alone has no code to look up.
  const { DATAPATH_REPAIRED: _, ...answers } = REASON_CODE;
  expect(Object.fromEntries(listed)).toEqual(answers);
  const wrong = page
    .split(/^## /m)
    .slice(1)
    .flatMap((section) => {
      const name = section.split('\n', 1)[0] as ReasonCode;
      const said = /CNI\s+code\s+(\d+)/.exec(section)?.[1];
      return said === undefined || Number(said) === REASON_CODE[name] ? [] : [`${name}: ${said}`];
    });
  expect(wrong).toEqual([]);
});

/** Every page of docs, and the README. */
const pages: readonly Source[] = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md'))
    .map((path) => `docs/${path}`),
].map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));

test('files and sections that pages and comments name are there', () => {
  const isThere = (path: string) => existsSync(join(ROOT, path)) || existsSync(join(ROOT, `${path}.ts`));
  const files = [...pages, ...sources].flatMap(({ path, text }) =>
    [...text.matchAll(/(?<![\w/.@-])(?:src|test|docs|providers|deploy)\/[\w./-]*\w/g)]
      .filter(([named]) => !isThere(named))
      .map(([named]) => `${path}: ${named}`),
  );
  const links = pages.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)]
      .filter(([, to, section]) => {
        const target = to ? join(path, '..', to) : path;
        return !isThere(target) || (section !== undefined && !sectionsOf(target).includes(section));
      })
      .map(([link]) => `${path}: ${link}`),
  );
  expect([...files, ...links]).toEqual([]);
});

/** As the addresses of its headings end. */
const sectionsOf = (page: string): string[] =>
  [...readFileSync(join(ROOT, page), 'utf8').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w -]/g, '')
      .replaceAll(' ', '-'),
  );

test('each invariant in docs/architecture.md names a deliberate bug or a test that shows it', () => {
  const page = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8');
  const shown = new Set(MUTATIONS.map(({ name }) => name));
  const unshown = page
    .split('\n\n')
    .filter((paragraph) => paragraph.startsWith('**Invariant:**'))
    .filter((paragraph) => {
      const names = [...(paragraph.split('\nShown by:')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
      return names.length === 0 || !names.every((name) => shown.has(name) || existsSync(join(ROOT, name)));
    });
  expect(unshown).toEqual([]);
});

test('what is committed names no registry and no path of the machine it was made on', () => {
  const texts = [
    ...sources,
    ...['README.md', 'CHANGELOG.md', '.ci/run'].map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') })),
  ];
  const found = texts
    .filter(({ text }) => /registry\.npmjs|deb\.debian|pypi\.org|proxy\.golang|\/work\//.test(text))
    .map(({ path }) => path);
  expect(found).toEqual([]);
});

test('nothing that .gitignore names is committed', () => {
  // Prints nothing where this is no repository, such as in an unpacked archive.
  const { stdout } = spawnSync('git', ['ls-files', '--cached', '--ignored', '--exclude-standard'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  expect(stdout.trim()).toBe('');
});
