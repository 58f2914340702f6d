/** What the daemon shows over GET: health, metrics, and the core's rows. */
import type { State } from '../core/state.ts';
import type { Metrics } from './metrics.ts';
import { checksOf, readyPage } from './readiness.ts';
import type { Routes } from './server.ts';
import { stateJson } from './state-page.ts';
import { readingTurn, type WhyView, whyAnswer } from './why.ts';

export function pagesOf(view: {
  readonly metrics: Metrics;
  readonly state: () => State | undefined;
  /** Why nobody finds the daemon at its socket. */
  readonly unheard: () => string | undefined;
  /** Why no runtime finds us. */
  readonly missing: () => string | undefined;
  readonly why: WhyView;
}): Routes['pages'] {
  const checks = () => {
    const state = view.state();
    const unheard = view.unheard();
    const missing = view.missing();
    const socket = { name: 'socket', ok: unheard === undefined, detail: unheard ?? '', required: true } as const;
    const cni = { name: 'cni', ok: missing === undefined, detail: missing ?? '', required: true } as const;
    return [socket, cni, ...checksOf(state && readingTurn(view.why, state), view.why.starting())];
  };
  return {
    '/livez': () => ({ status: 200, type: 'text/plain; charset=utf-8', body: 'ok\n' }),
    '/readyz': (query) => readyPage(checks(), query.has('verbose')),
    '/metrics': async () => ({
      status: 200,
      type: view.metrics.registry.contentType,
      body: await view.metrics.text(view.state(), checks()),
    }),
    '/v1/why': (query) => {
      const answer = whyAnswer(view.why, query.get('pod') ?? undefined);
      return { status: 200, type: 'application/json', body: `${JSON.stringify(answer)}\n` };
    },
    '/v1/state': () => {
      const state = view.state();
      const rows = state === undefined ? {} : stateJson(state);
      return { status: 200, type: 'application/json', body: `${JSON.stringify(rows)}\n` };
    },
  };
}
