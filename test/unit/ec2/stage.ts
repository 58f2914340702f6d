/**
 * The lab's EC2 endpoint over a small VPC on virtual time: `ask` sends a real HTTP request and moves time on until the
 * model has answered it, so nothing here waits.
 */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MemoryCloud } from '../../../providers/memory/cloud.ts';
import { AWS_2026, type Figures, withoutLatency } from '../../../providers/memory/figures.ts';
import type { InstanceId, SubnetId } from '../../../src/core/brand.ts';
import { createEc2Endpoint } from '../../../src/lab/ec2/endpoint.ts';
import { cidr } from '../memory/harness.ts';
import { VirtualClock } from '../memory/virtual-clock.ts';
import { type Element, readXml, textAt } from './xml-reader.ts';

export const REGION = 'us-east-1';
export const AT_ONCE = withoutLatency(AWS_2026);

export type Parameters = Readonly<Record<string, string | number | boolean>>;

export interface Answer {
  readonly status: number;
  readonly root: Element;
}

export interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

const SIGNATURE =
  'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0';

export class Stage {
  readonly clock = new VirtualClock();
  readonly cloud: MemoryCloud;
  readonly vpc: string;
  /** A /24 with IPv6, zone us-east-1a, tagged `role=pods`. */
  readonly subnet: SubnetId;
  /** A /28 in the same zone: 11 addresses, no whole prefix that is free. */
  readonly small: SubnetId;
  /** Zone us-east-1b. */
  readonly elsewhere: SubnetId;
  /** An m5.large: 3 ENIs of 10 addresses. */
  readonly node: InstanceId;
  readonly server: Server;
  url = '';

  constructor(figures: Figures = AT_ONCE) {
    this.cloud = new MemoryCloud({ clock: this.clock, seed: 3, figures });
    this.vpc = this.cloud.addVpc({ cidrs4: [cidr('10.0.0.0/16')], cidrs6: [cidr('2001:db8:7::/56')] }).id;
    this.subnet = this.cloud.addSubnet({
      vpc: this.vpc,
      zone: 'us-east-1a',
      cidr4: cidr('10.0.1.0/24'),
      cidr6: cidr('2001:db8:7::/64'),
      tags: { role: 'pods' },
    }).id;
    this.small = this.cloud.addSubnet({ vpc: this.vpc, zone: 'us-east-1a', cidr4: cidr('10.0.2.0/28') }).id;
    this.elsewhere = this.cloud.addSubnet({ vpc: this.vpc, zone: 'us-east-1b', cidr4: cidr('10.0.3.0/24') }).id;
    this.node = this.cloud.launch({ instanceType: 'm5.large', subnet: this.subnet, tags: { Name: 'node' } }).id;
    this.server = createEc2Endpoint({ cloud: this.cloud, clock: this.clock, region: REGION });
  }

  async open(): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`;
    return this;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    expect(this.cloud.invariants()).toEqual([]);
  }

  /** Resolves as the promise does, moving time on once the model was called. */
  async run<T>(promise: Promise<T>): Promise<T> {
    const calls = () => [...this.cloud.callCounts.values()].reduce((sum, count) => sum + count, 0);
    const before = calls();
    let settled = false;
    const end = () => {
      settled = true;
    };
    promise.then(end, end);
    while (!settled) {
      if (calls() > before) this.clock.step();
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    return promise;
  }

  /** As any client would send it, signature included; `headers` take the signature's place. */
  async ask(
    action: string,
    parameters: Parameters = {},
    headers: Record<string, string> = { authorization: SIGNATURE },
  ) {
    const form = new URLSearchParams({ Action: action, Version: '2016-11-15' });
    for (const [name, value] of Object.entries(parameters)) form.append(name, String(value));
    return this.run(this.#send(form, headers));
  }

  async #send(body: URLSearchParams, headers: Record<string, string>): Promise<Answer> {
    const response = await fetch(this.url, { method: 'POST', body, headers });
    return { status: response.status, root: readXml(await response.text()) };
  }

  /** The response's root; throws when it is an error. */
  async value(action: string, parameters: Parameters = {}): Promise<Element> {
    const { status, root } = await this.ask(action, parameters);
    if (status !== 200) throw new Error(`${action}: ${textAt(root, 'Errors.Error.Message')}`);
    expect(root.name).toBe(`${action}Response`);
    return root;
  }

  async refusal(action: string, parameters: Parameters = {}, headers?: Record<string, string>): Promise<Refusal> {
    return refusalIn(await this.ask(action, parameters, headers));
  }

  /** Code only: what most cases are about. */
  async code(action: string, parameters: Parameters = {}): Promise<string> {
    return (await this.refusal(action, parameters)).code;
  }

  async createEni(parameters: Parameters = {}): Promise<string> {
    const root = await this.value('CreateNetworkInterface', { SubnetId: this.subnet, ...parameters });
    return textAt(root, 'networkInterface.networkInterfaceId');
  }

  /** Attached, and its link there. */
  async attach(eni: string, index: number): Promise<string> {
    const request = { NetworkInterfaceId: eni, InstanceId: this.node, DeviceIndex: index };
    const attachment = textAt(await this.value('AttachNetworkInterface', request), 'attachmentId');
    this.clock.advance(10_000);
    return attachment;
  }
}

export function refusalIn({ status, root }: Answer): Refusal {
  expect(root.name).toBe('Response');
  const [code, message] = [textAt(root, 'Errors.Error.Code'), textAt(root, 'Errors.Error.Message')];
  expect(textAt(root, 'RequestID')).toMatch(/^[0-9a-f-]{36}$/);
  return { status, code, message };
}

/** Runs with a stage of its own, closed afterwards. */
export const onStage =
  (run: (stage: Stage) => Promise<void>, figures?: Figures): (() => Promise<void>) =>
  async () => {
    const stage = await new Stage(figures).open();
    try {
      await run(stage);
    } finally {
      await stage.close();
    }
  };
