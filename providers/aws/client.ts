/**
 * The few EC2 actions that Underway uses, each one request: never retried, with a deadline, errors as data.
 *
 * Invariant: a call here is sent at most once. With its default of three attempts the SDK was seen sending
 * AssignPrivateIpAddresses twice after a dropped connection; test/contract/aws-once.test.ts counts requests.
 */
import {
  AssignIpv6AddressesCommand,
  type AssignIpv6AddressesCommandInput,
  AssignPrivateIpAddressesCommand,
  type AssignPrivateIpAddressesCommandInput,
  AttachNetworkInterfaceCommand,
  type AttachNetworkInterfaceCommandInput,
  CreateNetworkInterfaceCommand,
  type CreateNetworkInterfaceCommandInput,
  CreateTagsCommand,
  type CreateTagsCommandInput,
  DeleteNetworkInterfaceCommand,
  type DeleteNetworkInterfaceCommandInput,
  DescribeInstanceTypesCommand,
  type DescribeInstanceTypesCommandInput,
  DescribeNetworkInterfacesCommand,
  type DescribeNetworkInterfacesCommandInput,
  DescribeSubnetsCommand,
  type DescribeSubnetsCommandInput,
  DetachNetworkInterfaceCommand,
  type DetachNetworkInterfaceCommandInput,
  EC2Client,
  ModifyNetworkInterfaceAttributeCommand,
  type ModifyNetworkInterfaceAttributeCommandInput,
  UnassignIpv6AddressesCommand,
  type UnassignIpv6AddressesCommandInput,
  UnassignPrivateIpAddressesCommand,
  type UnassignPrivateIpAddressesCommandInput,
} from '@aws-sdk/client-ec2';
import type { Answer } from '../../src/core/cloud.ts';
import type { CallOptions } from '../../src/ports/provider.ts';
import type { Credentials } from './credentials.ts';
import { classify } from './errors.ts';

/** A daemon has few calls in flight (src/cloud limits them); connections are kept for the next ones. */
const SOCKET_COUNT_MAX = 16;

export interface Ec2Options {
  readonly region: () => Promise<string>;
  /** Such as `http://127.0.0.1:4566`; EC2's own of the region when absent. */
  readonly endpoint?: string | undefined;
  readonly credentials: () => Promise<Credentials>;
  /** Called with each error code that errors.ts has no row for. */
  readonly onUnknownCode: (code: string) => void;
}

type Http = { readonly abortSignal: AbortSignal };

export type Ec2 = ReturnType<typeof connectEc2>;

export function connectEc2({ region, endpoint, credentials, onUnknownCode }: Ec2Options) {
  const agent = { keepAlive: true, maxSockets: SOCKET_COUNT_MAX };
  const client = new EC2Client({
    region,
    credentials,
    maxAttempts: 1,
    // Said outright, these are not looked for in ~/.aws/config.
    retryMode: 'standard',
    defaultsMode: 'standard',
    useDualstackEndpoint: false,
    useFipsEndpoint: false,
    userAgentAppId: 'underway',
    requestHandler: { httpAgent: agent, httpsAgent: agent },
    ...(endpoint === undefined ? {} : { endpoint }),
  });

  /** The answer, or why not; never a rejection, never later than the deadline. */
  const call =
    <Input extends object, Output>(send: (input: Input, http: Http) => Promise<Output>) =>
    async (input: Input, { signal, timeoutMs }: CallOptions): Promise<Answer<Output>> => {
      const abortSignal = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
      try {
        // The SDK heeds the signal only once it has credentials; an aborted request is not sent after that.
        return { ok: true, value: await Promise.race([send(input, { abortSignal }), aborted(abortSignal)]) };
      } catch (error) {
        const { failure, unknown } = classify(error, { prefixes: asksForPrefixes(input) });
        if (unknown) onUnknownCode(failure.code);
        return { ok: false, failure };
      }
    };

  return {
    assignIpv6Addresses: call((input: AssignIpv6AddressesCommandInput, http) =>
      client.send(new AssignIpv6AddressesCommand(input), http),
    ),
    assignPrivateIpAddresses: call((input: AssignPrivateIpAddressesCommandInput, http) =>
      client.send(new AssignPrivateIpAddressesCommand(input), http),
    ),
    attachNetworkInterface: call((input: AttachNetworkInterfaceCommandInput, http) =>
      client.send(new AttachNetworkInterfaceCommand(input), http),
    ),
    createNetworkInterface: call((input: CreateNetworkInterfaceCommandInput, http) =>
      client.send(new CreateNetworkInterfaceCommand(input), http),
    ),
    createTags: call((input: CreateTagsCommandInput, http) => client.send(new CreateTagsCommand(input), http)),
    deleteNetworkInterface: call((input: DeleteNetworkInterfaceCommandInput, http) =>
      client.send(new DeleteNetworkInterfaceCommand(input), http),
    ),
    describeInstanceTypes: call((input: DescribeInstanceTypesCommandInput, http) =>
      client.send(new DescribeInstanceTypesCommand(input), http),
    ),
    describeNetworkInterfaces: call((input: DescribeNetworkInterfacesCommandInput, http) =>
      client.send(new DescribeNetworkInterfacesCommand(input), http),
    ),
    describeSubnets: call((input: DescribeSubnetsCommandInput, http) =>
      client.send(new DescribeSubnetsCommand(input), http),
    ),
    detachNetworkInterface: call((input: DetachNetworkInterfaceCommandInput, http) =>
      client.send(new DetachNetworkInterfaceCommand(input), http),
    ),
    modifyNetworkInterfaceAttribute: call((input: ModifyNetworkInterfaceAttributeCommandInput, http) =>
      client.send(new ModifyNetworkInterfaceAttributeCommand(input), http),
    ),
    unassignIpv6Addresses: call((input: UnassignIpv6AddressesCommandInput, http) =>
      client.send(new UnassignIpv6AddressesCommand(input), http),
    ),
    unassignPrivateIpAddresses: call((input: UnassignPrivateIpAddressesCommandInput, http) =>
      client.send(new UnassignPrivateIpAddressesCommand(input), http),
    ),
    /** Closes kept connections. */
    close: () => client.destroy(),
  };
}

/** Rejects when the signal says so, as the SDK does. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(Object.assign(new Error('no answer in time'), { name: 'AbortError' }));
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}

const asksForPrefixes = (input: object): boolean =>
  Object.entries(input).some(([name, value]) => name.includes('Prefix') && value !== undefined);
