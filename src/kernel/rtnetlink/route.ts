/**
 * Routes in rtnetlink (linux/rtnetlink.h). One next hop at most: no datapath mode needs more.
 */
import { type Cidr, cidrBase, cidrLength, cidrOf, type Family, type Ip, ipBytes, ipFromBytes } from '../../core/ip.ts';
import type { RouteObject } from '../../datapath/kernel-state.ts';
import { attributeMap, encodeMessage, type Message, type MessageWriter, NLM } from '../netlink.ts';
import { addressFamily, familyFrom, type LinkName, SCOPE } from './family.ts';

export const RTM_ROUTE = { NEW: 24, DELETE: 25, GET: 26 } as const;

const RTA = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6, PREFSRC: 7, TABLE: 15 } as const;
const RTN = { unicast: 1, local: 2, unreachable: 7 } as const;
const RTNH_F_ONLINK = 4;
const RTM_F_CLONED = 0x200;
const HEADER = 12;
const ANY = { 4: '0.0.0.0' as Ip, 6: '::' as Ip } as const;

/** `index` is of the object's link, where it has one. Replaces the route of the same destination, table and metric. */
export const putRoute = (object: RouteObject, index: number | undefined): Buffer =>
  encodeMessage({ type: RTM_ROUTE.NEW, flags: NLM.CREATE | NLM.REPLACE }, (writer) => {
    // The kernel takes a local route only with host scope or narrower.
    const scope = object.family === 6 ? SCOPE.global : object.type === 'local' ? SCOPE.host : SCOPE[object.scope];
    writeRoute(writer, { object, index, scope });
    if (object.source !== undefined) writer.attribute(RTA.PREFSRC, ipBytes(object.source));
  });

/** Only the route with this link, gateway, metric and protocol: another's to the same destination stays. */
export const removeRoute = (object: RouteObject, index: number | undefined): Buffer =>
  encodeMessage({ type: RTM_ROUTE.DELETE }, (writer) => writeRoute(writer, { object, index, scope: SCOPE.nowhere }));

/** With a protocol, or the index of a link, the kernel itself leaves out the others' (needs NETLINK_GET_STRICT_CHK). */
export const dumpRoutes = ({
  family,
  protocol = 0,
  index,
}: {
  readonly family: Family;
  readonly protocol?: number;
  readonly index?: number;
}): Buffer =>
  encodeMessage({ type: RTM_ROUTE.GET, flags: NLM.DUMP }, (writer) => {
    writer.u8(addressFamily(family));
    writer.bytes(new Uint8Array(4));
    writer.u8(protocol);
    writer.bytes(new Uint8Array(HEADER - 6));
    if (index !== undefined) writer.attributeU32(RTA.OIF, index);
  });

/** Undefined for a cached route and for types that no mode makes, such as broadcast. */
export function decodeRoute({ payload }: Message, linkName: LinkName): RouteObject | undefined {
  const family = familyFrom(payload.readUInt8(0));
  const type = typeName(payload.readUInt8(7));
  const flags = payload.readUInt32LE(8);
  if (family === undefined || type === undefined || (flags & RTM_F_CLONED) !== 0) return undefined;
  const attributes = attributeMap(payload, HEADER);
  const address = (attribute: number): Ip | undefined => {
    const bytes = attributes.get(attribute);
    return bytes && ipFromBytes(bytes);
  };
  const oif = attributes.get(RTA.OIF)?.readUInt32LE(0);
  const link = oif === undefined ? undefined : linkName(oif);
  const gateway = address(RTA.GATEWAY);
  const source = address(RTA.PREFSRC);
  return {
    kind: 'route',
    family,
    table: attributes.get(RTA.TABLE)?.readUInt32LE(0) ?? payload.readUInt8(4),
    type,
    destination: cidrOf(address(RTA.DST) ?? ANY[family], payload.readUInt8(1)),
    ...(link === undefined ? {} : { link }),
    ...(gateway === undefined ? {} : { gateway }),
    ...((flags & RTNH_F_ONLINK) === 0 ? {} : { onLink: true }),
    ...(source === undefined ? {} : { source }),
    metric: attributes.get(RTA.PRIORITY)?.readUInt32LE(0) ?? 0,
    scope: payload.readUInt8(6) >= SCOPE.link ? 'link' : 'global',
    protocol: payload.readUInt8(5),
  };
}

function typeName(type: number): RouteObject['type'] | undefined {
  return type === RTN.unicast
    ? 'unicast'
    : type === RTN.local
      ? 'local'
      : type === RTN.unreachable
        ? 'unreachable'
        : undefined;
}

interface RouteMessage {
  readonly object: RouteObject;
  readonly index: number | undefined;
  readonly scope: number;
}

/** struct rtmsg and what makes the route the one it is. */
function writeRoute(writer: MessageWriter, { object, index, scope }: RouteMessage): void {
  const length = cidrLength(object.destination as Cidr);
  writer.u8(addressFamily(object.family));
  writer.u8(length);
  writer.u8(0);
  writer.u8(0);
  writer.u8(object.table < 256 ? object.table : 0);
  writer.u8(object.protocol);
  writer.u8(scope);
  writer.u8(RTN[object.type]);
  writer.u32(object.onLink === true ? RTNH_F_ONLINK : 0);
  if (length > 0) writer.attribute(RTA.DST, ipBytes(cidrBase(object.destination)));
  if (object.table >= 256) writer.attributeU32(RTA.TABLE, object.table);
  if (object.gateway !== undefined) writer.attribute(RTA.GATEWAY, ipBytes(object.gateway));
  if (index !== undefined) writer.attributeU32(RTA.OIF, index);
  if (object.metric !== 0) writer.attributeU32(RTA.PRIORITY, object.metric);
}
