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
  /** To be sent as they are: the shim takes no chunks, and Node sends chunks after a writeHead without a length. */
  readonly headers: { readonly 'content-type': string; readonly 'content-length': number };
  /** JSON, or empty: the specification gives DEL, CHECK, GC and STATUS no result. */
  readonly body: string;
}

const httpAnswer = (status: number, body: string): HttpAnswer => ({
  status,
  headers: { 'content-type': 'application/json', 'content-length': new TextEncoder().encode(body).length },
  body,
});

/** The answer to a request that was understood. An `added` to another verb than ADD has no result either. */
export function answerTo(request: CniRequest, reply: Reply): HttpAnswer {
  if (reply.kind === 'refused') return errorAnswer(errorOf(reply.reason, request.verb), request.cniVersion);
  if (reply.kind === 'done' || request.verb !== 'ADD') return httpAnswer(200, '');
  return httpAnswer(200, addResult(podNetwork(reply.plan), request.config));
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
  return httpAnswer(callers.includes(error.code) ? 400 : 503, errorJson(error, cniVersion));
}

const podNetwork = (plan: PodPlan): PodNetwork => ({
  host: { link: plan.link, mac: HOST_MAC },
  pod: { ifname: plan.attachment.ifname, mac: plan.podMac, netns: plan.netns },
  mtu: plan.mtu,
  addresses: plan.addresses.map((ip) => ({ ip, gateway: POD_GATEWAY[familyOf(ip)] })),
});
