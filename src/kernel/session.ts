/**
 * The sockets of one network namespace, and what has to be remembered with them.
 * Invariant: nf_tables is changed through one socket only, since a table with an owner takes changes from no other.
 */
import { inNamespace } from './namespace.ts';
import { NETLINK, NetlinkSocket } from './netlink-socket.ts';
import { getLink, indexOf } from './rtnetlink/link.ts';

export class Session {
  /** Undefined is the process's own namespace. */
  readonly path: string | undefined;
  readonly route: NetlinkSocket;
  /** `family name` of nf_tables tables that the kernel would not let us own. */
  readonly ownerless = new Set<string>();
  private nft: NetlinkSocket | undefined;

  /** Throws NoNamespaceError. While it is open the namespace lives on, also without its file. */
  constructor(path?: string) {
    this.path = path;
    this.route = this.open(NETLINK.ROUTE);
  }

  /** Opened at the first need: most pods have none. */
  get netfilter(): NetlinkSocket {
    this.nft ??= this.open(NETLINK.NETFILTER);
    return this.nft;
  }

  /** By RTM_GETLINK (8 us), never from memory: an index that belongs to another link now would cut a stranger off. */
  linkIndex(name: string): number | undefined {
    const answer = this.route.query(getLink(name));
    return 'payload' in answer ? indexOf(answer) : undefined;
  }

  inside<T>(deed: () => T): T {
    return inNamespace(this.path, deed);
  }

  close(): void {
    this.route.close();
    this.nft?.close();
  }

  private open(protocol: number): NetlinkSocket {
    return this.inside(() => new NetlinkSocket(protocol));
  }
}
