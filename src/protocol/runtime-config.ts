/**
 * `runtimeConfig`: what the runtime adds for the capabilities that the conflist declares. containerd writes Go's field
 * names (`HostPort`), since its structs carry no JSON tags; CRI-O writes the convention's (`hostPort`). Go's parsers
 * do not notice, so keys are compared without case; and Go writes an absent list as null.
 */
import { z } from 'zod';

/** The object with its keys in lower case and without nulls, one level deep. */
const folded = (value: unknown): unknown =>
  typeof value !== 'object' || value === null || Array.isArray(value)
    ? value
    : Object.fromEntries(
        Object.entries(value)
          .filter(([, inner]) => inner !== null)
          .map(([key, inner]) => [key.toLowerCase(), inner]),
      );

const texts = z.array(z.string()).default([]);

/** Bits a second and bits; 0 or absent is "no limit" (the bandwidth plugin's convention). */
const bandwidth = z.preprocess(
  folded,
  z
    .object({
      ingressrate: z.number().nonnegative().default(0),
      ingressburst: z.number().nonnegative().default(0),
      egressrate: z.number().nonnegative().default(0),
      egressburst: z.number().nonnegative().default(0),
    })
    .transform(({ ingressrate, ingressburst, egressrate, egressburst }) => ({
      ingressRate: ingressrate,
      ingressBurst: ingressburst,
      egressRate: egressrate,
      egressBurst: egressburst,
    })),
);

const portMapping = z.preprocess(
  folded,
  z
    .object({
      hostport: z.int().min(0).max(65_535),
      containerport: z.int().min(0).max(65_535),
      protocol: z.string().default('tcp'),
      hostip: z.string().default(''),
    })
    .transform(({ hostport, containerport, protocol, hostip }) => ({
      hostPort: hostport,
      containerPort: containerport,
      protocol: protocol.toLowerCase(),
      hostIp: hostip,
    })),
);

const dns = z.preprocess(folded, z.object({ servers: texts, searches: texts, options: texts }));

/** Annotations are user-controlled and a snapshot of the sandbox's creation; their keys keep their case. */
const POD_ANNOTATIONS = 'io.kubernetes.cri.pod-annotations';

export const runtimeConfig = z.preprocess(
  folded,
  z
    .object({
      bandwidth: bandwidth.optional(),
      portmappings: z.array(portMapping).default([]),
      dns: dns.optional(),
      ips: texts,
      ipranges: z.unknown().optional(),
      mac: z.string().optional(),
      infinibandguid: z.unknown().optional(),
      deviceid: z.unknown().optional(),
      [POD_ANNOTATIONS]: z.record(z.string(), z.string()).default({}),
    })
    .transform(({ bandwidth, dns, mac, ...rest }) => ({
      ...(bandwidth && { bandwidth }),
      ...(dns && { dns }),
      ...(mac !== undefined && { mac }),
      portMappings: rest.portmappings,
      ips: rest.ips,
      /** Only whether they are there matters: none is supported (unsupported.ts). */
      ...(rest.ipranges !== undefined && { ipRanges: rest.ipranges }),
      ...(rest.infinibandguid !== undefined && { infinibandGuid: rest.infinibandguid }),
      ...(rest.deviceid !== undefined && { deviceId: rest.deviceid }),
      podAnnotations: rest[POD_ANNOTATIONS],
    })),
);

export type RuntimeConfig = z.infer<typeof runtimeConfig>;
