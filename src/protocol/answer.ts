/**
 * The core's reply as what goes back over the socket: HTTP status and CNI JSON. The shim prints the body and exits
 * with 0 for status 200, with 1 for any other.
 */
import type { Reply } from '../core/events.ts';
import { familyOf } from '../core/ip.ts';
import { HOST_MAC, POD_GATEWAY, type PodPlan } from '../core/plan.ts';
import { type CniError, CODE, errorJson, errorOf } from './error.ts';
import type { CniRequest } from './request.ts';
import { addResult, type PodNetwork } from './result.ts';

export interface HttpAnswer {
  readonly status: number;
  /** JSON, or empty: the specification gives DEL, CHECK, GC and STATUS no result. */
  readonly body: string;
}

/** The answer to a request that was understood. An `added` to another verb than ADD has no result either. */
export function answerTo(request: CniRequest, reply: Reply): HttpAnswer {
  if (reply.kind === 'refused') return errorAnswer(errorOf(reply.reason, request.verb), request.cniVersion);
  if (reply.kind === 'done' || request.verb !== 'ADD') return { status: 200, body: '' };
  return { status: 200, body: addResult(podNetwork(reply.plan), request.config) };
}

/** 400 for what the caller must change, 503 for all else; a person with curl sees which. */
export function errorAnswer(error: CniError, cniVersion: string): HttpAnswer {
  const callers: readonly number[] = [
    CODE.incompatibleVersion,
    CODE.unsupportedField,
    CODE.badEnvironment,
    CODE.undecodable,
    CODE.invalidConfig,
  ];
  return { status: callers.includes(error.code) ? 400 : 503, body: errorJson(error, cniVersion) };
}

const podNetwork = (plan: PodPlan): PodNetwork => ({
  host: { link: plan.link, mac: HOST_MAC },
  pod: { ifname: plan.attachment.ifname, mac: plan.podMac, netns: plan.netns },
  mtu: plan.mtu,
  addresses: plan.addresses.map((ip) => ({ ip, gateway: POD_GATEWAY[familyOf(ip)] })),
});
