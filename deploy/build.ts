/**
 * Bundles the node daemon into build/underwayd/: `underwayd`, which starts `underwayd.js` (launcher.ts), the kernel's worker beside it,
 * one chunk a cloud (a node loads only its own), koffi, whose native part cannot be bundled, and the CNI binary.
 *
 * The EC2 SDK declares a schema constant for each of EC2's 800 actions in one file; esbuild keeps them all, since it
 * cannot prove that a computed key is harmless. Marked pure, only those of the actions in use stay.
 */
import { copyFileSync, cpSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { buildShim, findCompiler, isUpToDate, SHIM_PATH } from './build-shim.ts';
import { NODE_MAJOR_MIN, writeLauncher } from './launcher.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Where `npm run build` puts the daemon. */
export const DAEMON_FOLDER = join(root, 'build/underwayd');

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };

const pureSchemas: Plugin = {
  name: 'pure-schemas',
  setup(bundle) {
    bundle.onLoad({ filter: /\/schemas\/schemas_\d+\.js$/ }, async ({ path }) => ({
      contents: markPure(await readFile(path, 'utf8')),
      loader: 'js',
    }));
  },
};

/** `export var X = [...];` becomes a pure call that answers the list; each ends with the first line that ends in `];`. */
function markPure(source: string): string {
  return source.replace(
    /^((?:export )?var [\w$]+ = )(\[[\s\S]*?\]);$/gm,
    (_, start: string, list: string) => `${start}/* @__PURE__ */ (() => ${list})();`,
  );
}

/** zod brings its messages in 50 languages (300 kB); ours are our own. */
const oneLanguage: Plugin = {
  name: 'one-language',
  setup(bundle) {
    bundle.onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, () => ({
      contents: "export { default as en } from './en.js';",
      loader: 'js',
    }));
  },
};

/**
 * KubeConfig can make API clients and dispatchers for fetch, which the daemon never asks it for. Told that client-node's
 * modules only declare things, esbuild leaves the 434 kB of the typed API out; undici (973 kB), which KubeConfig names in a method that is not
 * called, has to be taken away.
 */
const onlyKubeConfig: Plugin = {
  name: 'only-kube-config',
  setup(bundle) {
    bundle.onResolve({ filter: /^[./]/ }, async ({ path, importer, resolveDir, kind, pluginData }) => {
      if (pluginData === onlyKubeConfig.name || !importer.includes('/@kubernetes/client-node/')) return undefined;
      const found = await bundle.resolve(path, { importer, resolveDir, kind, pluginData: onlyKubeConfig.name });
      return { ...found, sideEffects: false };
    });
    bundle.onLoad({ filter: /\/undici\/index\.js$/ }, () => ({
      contents: 'export const Agent = 0, ProxyAgent = 0, fetch = 0;',
      loader: 'js',
    }));
  },
};

const common: BuildOptions = {
  bundle: true,
  platform: 'node',
  target: `node${NODE_MAJOR_MIN}`,
  format: 'esm',
  mainFields: ['module', 'main'],
  external: ['koffi'],
  plugins: [pureSchemas, oneLanguage, onlyKubeConfig],
  define: { UNDERWAY_VERSION: JSON.stringify(version) },
  // pino and prom-client are CommonJS and require Node's own modules.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  legalComments: 'none',
  minifySyntax: true,
  minifyWhitespace: true,
  logLevel: 'warning',
};

/** koffi and this machine's native part of it, without its sources and documentation. */
function copyKoffi(to: string): void {
  const modules = join(root, 'node_modules');
  const native = join('@koromix', `koffi-${process.platform}-${process.arch}`);
  for (const name of ['koffi', native]) {
    const from = join(modules, name);
    const skipped = ['doc', 'vendor', 'cnoke.cjs', 'CHANGELOG.md'].map((entry) => join(from, entry));
    cpSync(from, join(to, 'node_modules', name), { recursive: true, filter: (path) => !skipped.includes(path) });
  }
}

/** The CNI binary, which the daemon puts into the runtime's folder. Without a C compiler the bundle has none. */
function copyShim(to: string): void {
  if (!isUpToDate(SHIM_PATH)) {
    const compiler = findCompiler();
    if (compiler === undefined) return console.warn('no C compiler runs here: the bundle has no CNI binary to install');
    buildShim({ compiler, binary: SHIM_PATH, sanitized: false });
  }
  copyFileSync(SHIM_PATH, join(to, 'underway'));
}

/** Builds into a folder of its own and renames it, so that whoever starts the daemon finds a whole one. */
export async function buildDaemon(folder = DAEMON_FOLDER): Promise<void> {
  const draft = `${folder}.${process.pid}`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { recursive: true });
  await build({
    ...common,
    entryPoints: { underwayd: join(root, 'src/daemon/main.ts') },
    outdir: draft,
    splitting: true,
    chunkNames: '[name]-[hash]',
  });
  const worker = join(root, 'src/kernel/worker.ts');
  await build({ ...common, entryPoints: { 'kernel-worker': worker }, outdir: draft });
  copyKoffi(draft);
  writeLauncher(draft);
  copyShim(draft);
  const old = `${draft}.old`;
  mkdirSync(dirname(folder), { recursive: true });
  if (statSync(folder, { throwIfNoEntry: false }) !== undefined) renameSync(folder, old);
  renameSync(draft, folder);
  rmSync(old, { recursive: true, force: true });
}

if (import.meta.main) {
  await buildDaemon();
  const { size } = statSync(join(DAEMON_FOLDER, 'underwayd.js'));
  console.log(`built build/underwayd (underwayd.js has ${Math.round(size / 1024)} kB)`);
}
