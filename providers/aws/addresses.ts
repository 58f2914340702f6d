/** Blocks on and off an ENI. IPv4 and IPv6 are two EC2 actions each, with the same shape. */
import type { EniId } from '../../src/core/brand.ts';
import type { Answer, BlockWish } from '../../src/core/cloud.ts';
import { type Cidr, familyOf } from '../../src/core/ip.ts';
import type { CallOptions } from '../../src/ports/provider.ts';
import { bug, changed, refuse, SUCCESS, withoutValue } from './answer.ts';
import { CAPABILITIES } from './capabilities.ts';
import type { Ec2 } from './client.ts';
import type { Enis } from './enis.ts';
import { assignedIn, namesOf } from './translate.ts';

export class Addresses {
  readonly #ec2: Ec2;
  readonly #enis: Enis;

  constructor({ ec2, enis }: { readonly ec2: Ec2; readonly enis: Enis }) {
    this.#ec2 = ec2;
    this.#enis = enis;
  }

  /** All or nothing; the answer lists only what is new. `AllowReassignment` is never sent: it takes a live address. */
  async assign(
    eni: EniId,
    wish: BlockWish & { readonly blocks?: readonly Cidr[] },
    options: CallOptions,
  ): Promise<Answer<Cidr[]>> {
    const wrong = unservable([wish]);
    if (wrong !== undefined) return bug(wrong);
    return wish.family === 4 ? this.#assign4(eni, wish, options) : this.#assign6(eni, wish, options);
  }

  async #assign4(eni: EniId, wish: Asked, options: CallOptions): Promise<Answer<Cidr[]>> {
    const { addresses, prefixes, addressCount, prefixCount } = parametersOf(wish);
    const reply = await this.#ec2.assignPrivateIpAddresses(
      {
        NetworkInterfaceId: eni,
        PrivateIpAddresses: addresses,
        Ipv4Prefixes: prefixes,
        SecondaryPrivateIpAddressCount: addressCount,
        Ipv4PrefixCount: prefixCount,
      },
      options,
    );
    if (!reply.ok) return reply;
    const { AssignedPrivateIpAddresses, AssignedIpv4Prefixes } = reply.value;
    return changed(
      assignedIn({
        addresses: AssignedPrivateIpAddresses?.map((each) => each.PrivateIpAddress),
        prefixes: AssignedIpv4Prefixes?.map((each) => each.Ipv4Prefix),
      }),
    );
  }

  async #assign6(eni: EniId, wish: Asked, options: CallOptions): Promise<Answer<Cidr[]>> {
    const { addresses, prefixes, addressCount, prefixCount } = parametersOf(wish);
    const reply = await this.#ec2.assignIpv6Addresses(
      {
        NetworkInterfaceId: eni,
        Ipv6Addresses: addresses,
        Ipv6Prefixes: prefixes,
        Ipv6AddressCount: addressCount,
        Ipv6PrefixCount: prefixCount,
      },
      options,
    );
    if (!reply.ok) return reply;
    const { AssignedIpv6Addresses, AssignedIpv6Prefixes } = reply.value;
    return changed(assignedIn({ addresses: AssignedIpv6Addresses, prefixes: AssignedIpv6Prefixes }));
  }

  /**
   * EC2 refuses the whole call for one block that is not there. That refusal changed nothing, so what the ENI still
   * has of the call's is read and asked for again.
   */
  async unassign(eni: EniId, blocks: readonly Cidr[], options: CallOptions): Promise<Answer<void>> {
    if (blocks.length === 0) return SUCCESS;
    if (new Set(blocks.map(familyOf)).size > 1) return bug('EC2 unassigns one family a call');
    const first = await this.#unassign(eni, blocks, options);
    if (first.ok || !isMissingBlock(first)) return first;
    const seen = await this.#enis.one(eni, options);
    if (!seen.ok) return seen;
    const left = blocks.filter((block) => seen.value?.blocks.includes(block));
    if (left.length === 0) return SUCCESS;
    // A replica that shows all of them is behind: nothing follows from it now.
    if (left.length === blocks.length)
      return refuse('transient', 'StaleRead', `EC2 lists on ${eni} what it says is not there`);
    return this.#unassign(eni, left, options);
  }

  async #unassign(eni: EniId, blocks: readonly Cidr[], options: CallOptions): Promise<Answer<void>> {
    const { addresses, prefixes } = namesOf(blocks);
    const reply = blocks.some((block) => familyOf(block) === 6)
      ? await this.#ec2.unassignIpv6Addresses(
          { NetworkInterfaceId: eni, Ipv6Addresses: addresses, Ipv6Prefixes: prefixes },
          options,
        )
      : await this.#ec2.unassignPrivateIpAddresses(
          { NetworkInterfaceId: eni, PrivateIpAddresses: addresses, Ipv4Prefixes: prefixes },
          options,
        );
    return withoutValue(reply);
  }
}

/** `InvalidNetworkInterfaceID.NotFound` is the other notFound of these calls: the ENI itself. */
const isMissingBlock = (answer: Answer<void>): boolean =>
  !answer.ok && answer.failure.kind === 'notFound' && answer.failure.code === 'InvalidParameterValue';

type Asked = BlockWish & { readonly blocks?: readonly Cidr[] };

/** Either these very blocks or a count, of single addresses or of prefixes. */
function parametersOf({ family, prefixLength, count, blocks }: Asked) {
  if (blocks !== undefined) return { ...namesOf(blocks), addressCount: undefined, prefixCount: undefined };
  const none = { addresses: undefined, prefixes: undefined };
  const single = prefixLength === CAPABILITIES.prefixLengths[family][0];
  return { ...none, addressCount: single ? count : undefined, prefixCount: single ? undefined : count };
}

/** Why EC2 cannot serve these wishes in one call, in words; undefined when it can. */
export function unservable(wishes: readonly Asked[]): string | undefined {
  for (const { family, prefixLength, count, blocks } of wishes) {
    if (!CAPABILITIES.prefixLengths[family].includes(prefixLength)) return `EC2 assigns no /${prefixLength} blocks`;
    const asked = blocks?.length ?? count;
    if (asked > CAPABILITIES.maxBlocksPerCall) return `${asked} blocks are too many for one call`;
    if (wishes.some((other) => other.family === family && other.prefixLength !== prefixLength))
      return 'EC2 gives a call single addresses or prefixes of a family, not both';
  }
  return undefined;
}
