/**
 * Whether the gateways of ways just put answer. Until a NIC has its carrier, its queue, its own addresses and a network
 * behind it, which all come a while after it was set up, the kernel's first solicitation is lost, and the next one is sent
 * a second later: 1 of 9 first packets by an ENI attached a moment ago took that second.
 */
import type { Ip } from '../core/ip.ts';
import type { Step } from '../datapath/kernel-state.ts';
import { errnoName } from './errno.ts';
import { askNeighbour, getNeighbour, isValidNeighbour } from './rtnetlink/neighbour.ts';
import type { Session } from './session.ts';

export interface Gateway {
  readonly link: string;
  readonly address: Ip;
}

/** Those of the host's routes that the steps put. */
export const gatewaysOf = (steps: readonly Step[]): Gateway[] =>
  steps.flatMap((step) => {
    if (step.do !== 'put' || step.at !== 'host' || step.object.kind !== 'route') return [];
    const { link, gateway } = step.object;
    return link === undefined || gateway === undefined ? [] : [{ link, address: gateway }];
  });

/** Those that have not answered, each solicited anew: its answer may be there when this returns. */
export const askGateways = (session: Session, gateways: readonly Gateway[]): Gateway[] =>
  gateways.filter(({ link, address }) => {
    const index = session.linkIndex(link);
    if (index === undefined || hasAnswered(session, address, index)) return false;
    session.route.request(askNeighbour(address, index));
    return !hasAnswered(session, address, index);
  });

/** Nothing is waited for where the kernel cannot tell (before 5.0). */
function hasAnswered(session: Session, address: Ip, index: number): boolean {
  const answer = session.route.query(getNeighbour(address, index));
  return 'payload' in answer ? isValidNeighbour(answer) : errnoName(answer.errno) !== 'ENOENT';
}
