/**
 * Where the worker's program is. Node runs the .ts as it is; the build puts `kernel-worker.js`, made from worker.ts, beside
 * the bundle that this line ends up in.
 */
export const workerUrl = (): URL =>
  new URL(import.meta.url.endsWith('.ts') ? './worker.ts' : './kernel-worker.js', import.meta.url);
